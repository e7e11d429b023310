
// Every map of this report, with its own small pictures.

async function start(data) {
  const { ids, x, y, labels, right, sheets, places, file } = JSON.parse(data.textContent);
  const images = sheets.map((address) => {
    const image = new Image();
    image.src = address;
    return image;
  });
  const picture = async (i) => {
    if (!places[i]) return null;
    const [sheet, left, top, width, height] = places[i];
    await images[sheet].decode();
    return { image: images[sheet], x: left, y: top, width, height };
  };
  await new PictureMap(data.nextElementSibling, {
    ids, x, y, picture, file,
    fields: [{ name: "label", title: "label" }, { name: "right", title: "nearest neighbour" }],
    values: async (name) => (name === "label" ? labels : right.map((one) => (one ? "of the same label" : "of another label"))),
    title: (i) => labels[i],
    link: () => null,
    whole: false,
  }).start();
}

document.querySelectorAll(".map-data").forEach(start);
