// What a picture is called.

export const named = (item) => item.label ?? item.id.split("/").pop();
