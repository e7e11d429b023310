"""What requests and answers hold."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, FailFast, Field, StrictBool, StringConstraints

from bier.search.base import LONGEST_ID

MOST_EXAMPLES = 32
MOST_HITS = 1000
MOST_LISTED = 500
MOST_VALUES = 1000


def _storable(text: str) -> str:
    if "\0" in text or len(text.encode()) > LONGEST_ID:
        raise ValueError(f"at most {LONGEST_ID:,} bytes, without NUL")
    return text


Id = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_ID), AfterValidator(_storable)]
FieldName = Annotated[str, StringConstraints(min_length=1, max_length=63)]
Text = Annotated[str, StringConstraints(max_length=LONGEST_ID), AfterValidator(_storable)]
Whole = Annotated[int, Field(strict=True, ge=-(2**63), lt=2**63)]
Decimal = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Value = Text | StrictBool | Whole | Decimal | None
Alternatives = Value | Annotated[list[Value], Field(min_length=1, max_length=1000)]
Limit = Annotated[str, StringConstraints(max_length=64)] | Whole | Decimal
Stored = str | bool | int | float | list[str] | None
Component = Annotated[float, Field(allow_inf_nan=False, ge=-1e6, le=1e6)]
# The first fault is enough: of a body full of faults each would take a kilobyte.
Vectors = Annotated[list[Annotated[list[Component], FailFast()]], FailFast()]
Ids = Annotated[list[Id], FailFast()]
Top = Annotated[int, Field(ge=1, le=MOST_HITS, description="How many hits.")]
Learners = Annotated[
    str | None,
    Field(
        pattern=r"^[1-9][0-9]{0,3}(-[1-9][0-9]{0,3})?$",
        description="Which learners answer: `1-2` the first two together, `2` the second alone; all by default.",
    ),
]
Rerank = Annotated[
    str | None,
    Field(
        max_length=200,
        description="How the first hits are ranked again: `k-reciprocal`, `alpha-qe` or `dba`, with options as in "
        "`k-reciprocal,k1=10`; `none`; the server's way by default. It needs all learners.",
    ),
]
UnlikeWeight = Annotated[float, Field(ge=0, le=1, description="How strongly the unlike examples are subtracted.")]


Exact = Annotated[
    bool, Field(description="Look at all pictures, also where an approximate index or stages are faster.")
]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Conditions(Strict):
    """What a field may be; all that are given hold."""

    among: Alternatives = Field(None, alias="is", description="This value, or one of these.")
    without: Alternatives = Field(None, alias="not", description="Not this value, or none of these.")
    at_least: Limit | None = Field(None, description="Of numbers and dates, like the next three.")
    above: Limit | None = None
    at_most: Limit | None = None
    below: Limit | None = None


Where = dict[FieldName, Alternatives | Conditions]


def plain(where: Where) -> dict[str, Any]:
    """Filters as an index takes them."""
    return {
        field: one.model_dump(by_alias=True, exclude_unset=True) if isinstance(one, Conditions) else one
        for field, one in where.items()
    }


class Problem(BaseModel):
    error: str
    remedy: str | None


class SearchRequest(Strict):
    """Examples of what is looked for, by id or as vectors of `/api/embed`; several are averaged."""

    ids: Ids = Field(default=[], max_length=MOST_EXAMPLES)
    vectors: Vectors = Field(default=[], max_length=MOST_EXAMPLES)
    unlike_ids: Ids = Field(default=[], max_length=MOST_EXAMPLES, description="Less like these.")
    unlike_vectors: Vectors = Field(default=[], max_length=MOST_EXAMPLES)
    model: str | None = Field(
        None,
        max_length=200,
        description="The model of the vectors, as `/api/embed` tells it: vectors of another one are refused.",
    )
    unlike_weight: UnlikeWeight = 0.5
    top: Top = 24
    learners: Learners = None
    rerank: Rerank = None
    exact: Exact = False
    where: Where = Field(
        default={}, description="Field of the metadata to its value, to a list of allowed values, or to conditions."
    )


class Picture(BaseModel):
    id: str
    label: str | None
    metadata: dict[str, Stored]


class FoundPicture(Picture):
    score: float
    reranked: float | None = Field(description="What orders it after re-ranking, the higher the nearer; or null.")


Chance = Annotated[float, Field(ge=0, le=1)] | None
_UNTOLD = "Null if that cannot be told: without a calibration, and for learners, several examples or unlike ones."


class Found(BaseModel):
    hits: list[FoundPicture] = Field(description="Best first; the examples given by id are left out.")
    confidence: Chance = Field(description=f"The chance that the first hit is right. {_UNTOLD}")
    known: Chance = Field(description=f"The chance that it is in the catalogue at all. {_UNTOLD}")
    absent: bool | None = Field(description=f"True: probably not in this catalogue. {_UNTOLD}")
    exact: bool = Field(description="Whether these are the nearest. If not, some nearer ones may be missing.")
    recall: Chance = Field(
        description="Of an answer that is not exact: the share of the ten nearest that such searches find, as measured."
    )
    milliseconds: float


class FoundByPicture(Found):
    sha256: list[str] = Field(description="Of each uploaded picture, in order: what marks call it.")


class Embedded(BaseModel):
    vector: list[float]
    sha256: str
    model: str = Field(description="The model's fingerprint.")


class Listed(BaseModel):
    pictures: list[Picture]
    count: int = Field(description="Pictures in all that the filter lets through.")


class CountedValue(BaseModel):
    value: str | bool | int | float | None
    count: int = Field(description="Pictures that have it.")


class Values(BaseModel):
    values: list[CountedValue] = Field(description="Those that begin with the part first, then by the alphabet.")
    count: int = Field(description="Values in all that hold the part.")
    nearest: list[str] = Field(description="Where none does: values that are written much like it.")


class Map(BaseModel):
    version: str = Field(description="What tells this map from the next.")
    ids: list[str] = Field(description="Of each point.")
    x: list[float]
    y: list[float]
    here: list[bool] = Field(description="Whether its picture is in the index still.")
    drawn_from: int = Field(description="Pictures of the index when the map was drawn.")
    gone: int = Field(description="Points whose pictures are no longer in the index.")
    changed: int = Field(description="Pictures that have another vector by now.")
    new: int = Field(description="Pictures that the index has got since.")


class MapValues(BaseModel):
    version: str = Field(description="Of the map whose points these values belong to.")
    values: list[Stored] = Field(description="In the order of the points; null where nothing is known.")


class Limits(BaseModel):
    body: int
    pixels: int
    seconds: float
    top: int
    examples: int
    pictures: int


class Info(BaseModel):
    title: str
    count: int
    engine: str
    model: str
    sizes: list[int] = Field(description="Dimensions of each learner.")
    fields: list[str] = Field(description="What `where` may name.")
    types: dict[str, str] = Field(description="Of fields that are not of texts: what their values are.")
    calibrated: bool = Field(description="Whether answers have a confidence.")
    rerank: str | None = Field(description="How hits are ranked again where a request does not say.")
    marks: bool = Field(description="Whether marks can be saved.")
    keeps_uploads: bool = Field(description="Whether pictures that were uploaded and marked are kept for training.")
    limits: Limits


class Mark(Strict):
    """One pair: an example, by its id or by the sha256 of an uploaded picture, and a result."""

    query: Id | None = None
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = None
    box: Annotated[list[Decimal], Field(min_length=4, max_length=4)] | None = Field(
        None, description="The part of the example that was meant: left, top, width, height, in pixels."
    )
    result: Id
    verdict: Literal["good", "bad", "none"] = Field(description="`none` takes an earlier mark back.")


class Marks(Strict):
    marks: Annotated[list[Mark], FailFast()] = Field(min_length=1, max_length=1000)


class Saved(BaseModel):
    saved: int
    wanted: list[str] = Field(
        description="SHA-256 of marked uploads that the server wants to keep: send them to `/api/uploads`."
    )


class Kept(BaseModel):
    sha256: str


class Health(BaseModel):
    status: Literal["ok", "ready"]
