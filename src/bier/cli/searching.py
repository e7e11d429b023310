"""``bier search`` and ``bier duplicates``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from bier.cli.app import TrustCode, app, terminal
from bier.cli.indexing import IndexFolder, ModelPath

if TYPE_CHECKING:
    from bier.search import Answer
    from bier.search.duplicates import Duplicates, Stored


@app.command
def search(
    folder: Annotated[str, Parameter(name="INDEX", help="The index's folder, or the address of a running server.")],
    query: Annotated[Path, Parameter(name="QUERY", help="A picture.")],
    *,
    top: Annotated[int, Parameter(help="How many pictures.", validator=Number(gte=1))] = 10,
    where: Annotated[
        tuple[str, ...],
        Parameter(help="Only these, as label=shoes, sold!=yes or 'price<20'; repeat for several.", negative=""),
    ] = (),
    learners: Annotated[str | None, Parameter(help="A prefix such as 1-2, or one learner such as 2.")] = None,
    staged: Annotated[bool, Parameter(help="In stages: a shortlist by the first learner.", negative="")] = False,
    recall: Annotated[
        float | None, Parameter(help="With --staged: share of the ten nearest that is found. [default: 0.98]")
    ] = None,
    exact: Annotated[bool, Parameter(help="Look at all pictures, whatever it takes.", negative="")] = False,
    box: Annotated[
        tuple[float, float, float, float] | None,
        Parameter(help="Search for a part alone: LEFT TOP WIDTH HEIGHT in pixels of the upright picture."),
    ] = None,
    min_confidence: Annotated[
        float | None,
        Parameter(help="Give no answer that is less likely right, 0 to 1.", validator=Number(gte=0, lte=1)),
    ] = None,
    rerank: Annotated[
        str | None,
        Parameter(help="Rank the first hits again: k-reciprocal, alpha-qe or dba, as in k-reciprocal,k1=10."),
    ] = None,
    json: Annotated[bool, Parameter(help="Print the answer as JSON.", negative="")] = False,
    html: Annotated[Path | None, Parameter(help="Write a page with the pictures.")] = None,
    model: ModelPath = None,
    trust_code: TrustCode = False,
) -> int:
    """Find the pictures of an index that are most like one picture.

    A running `bier serve` answers sooner: its model is in memory. Its token is read from BIER_TOKEN.

    Ends with 0, with 1 if --min-confidence withholds the answer, and with 2 after a mistake.
    """
    from bier.cli.answers import in_words, withhold
    from bier.cli.asking import ask, is_server
    from bier.cli.index_words import recall_of_stages
    from bier.data.box import checked_box
    from bier.errors import ConfigError, SearchError, quoted

    if min_confidence is not None and learners is not None:
        raise ConfigError("no confidence is known of --learners", remedy="leave out --min-confidence or --learners")
    part = checked_box(box, "--box")
    if is_server(folder):
        given_here = (("--staged", staged), ("--recall", recall), ("--html", html), ("--model", model))
        for option, value in given_here:
            if value:
                raise ConfigError("is decided by the server", where=option, remedy="leave it out")
        answer = ask(
            folder,
            query,
            top=top,
            where=where,
            learners=learners,
            rerank=rerank,
            exact=exact,
            box=part,
            judged=min_confidence is not None,
        )
        return _printed(withhold(answer, min_confidence), min_confidence, json)
    from bier.search import (
        ConfidentSearch,
        CurrentCalibration,
        StagedSearch,
        load_encoder,
        open_index,
        parse_learners,
        query_vectors,
    )
    from bier.search.approximate import Exactly
    from bier.search.filters import parse_filters
    from bier.search.page import write_page
    from bier.search.reranked import RankAgain
    from bier.system.console import plain_console
    from bier.system.late import waiting

    again = None if rerank is None else RankAgain.asked(rerank, "--rerank")
    if again is not None and learners is not None:
        raise ConfigError("--rerank ranks by all learners", remedy="leave out --rerank or --learners")
    if staged and learners is not None:
        raise ConfigError("--staged searches with all learners", remedy="leave out --staged or --learners")
    if staged and exact:
        raise ConfigError("--staged may miss pictures, and --exact may not", remedy="leave out one of them")
    wanted = recall_of_stages(recall, staged)
    with waiting():
        opening = open_index(folder)
    with opening as opened:
        filters = parse_filters(where, opened.info.kinds)
        opened.checked_filters(filters)  # before the model is loaded, which takes seconds
        chosen = None if learners is None else parse_learners(learners, len(opened.info.sizes))
        with waiting():
            encoder = load_encoder(opened, path=model, trust_code=trust_code)
        vectors = query_vectors(opened.info, encoder, encoder.encode([encoder.prepare(query, box=part)]), chosen)
        calibration = CurrentCalibration(opened, encoder)()
        if calibration is None and min_confidence is not None:
            remedy = f"bier calibrate {quoted(folder)} LABELLED, with labelled pictures"
            raise SearchError("has no calibration, so no confidence is known", where=folder, remedy=remedy)
        tell = plain_console(stderr=True, soft_wrap=True).print
        searcher = StagedSearch(opened, recall=wanted, tell=tell) if staged else Exactly(opened) if exact else opened
        [answer] = ConfidentSearch(searcher, calibration, again).search(vectors, top, filters)
        count, kinds = opened.count(), opened.info.kinds
    given = withhold(answer, min_confidence)
    status = _printed(given, min_confidence, json)
    if html is not None:
        how = ["in stages"] if staged else []
        how += [] if part is None else ["a part"]
        how += [] if learners is None else [f"learners {learners}"]
        how += [] if again is None else [f"first hits ranked again by {again.reranking}"]
        how += [text for text in [in_words(answer)] if text]
        how += [] if answer.expected is None else [answer.expected.in_words()]
        write_page(
            query, given.hits, html, box=part, count=count, how="".join(f" · {part}" for part in how), kinds=kinds
        )
        if not json:
            terminal().print(f"page: {html}", soft_wrap=True)
    return status


def _printed(given: Answer, least: float | None, json: bool) -> int:
    """Print an answer; the exit status that goes with it."""
    from bier.cli.answers import print_answer, print_json

    if json:
        print_json(given)
    else:
        print_answer(given, least)
    return 1 if least is not None and not given.hits else 0


@app.command
def duplicates(
    folder: IndexFolder,
    *,
    threshold: Annotated[
        float | None, Parameter(help="Cosine similarity that counts. [default: 0.98; with --look 0.5]")
    ] = None,
    look: Annotated[
        bool, Parameter(help="Compare pixels as well: finds copies that are cropped or mirrored.", negative="")
    ] = False,
    html: Annotated[Path | None, Parameter(help="Also write a page with the pairs here.")] = None,
    ids: Annotated[Path | None, Parameter(help="Also write the ids of copies here, for `bier index remove`.")] = None,
) -> None:
    """Groups of pictures of an index that are nearly the same, one group a paragraph.

    Of each group, the picture with the most pixels is the one to keep.
    """
    from bier.search import open_index
    from bier.search.duplicates import duplicates as find
    from bier.system.waiting import Waiting

    console = terminal()
    with open_index(folder) as opened, Waiting(console, "looking at pairs") as waiting:
        found = find(opened, threshold, look=look, progress=lambda done, of: waiting.show(done))
    groups = found.groups()
    for group in groups:
        console.print("\n".join(group) + "\n", soft_wrap=True)
    console.print(f"{len(groups):,} groups, {sum(map(len, groups)) - len(groups):,} pictures more than needed")
    if html is not None or ids is not None:
        _write_copies(found, folder, html, ids)


def _write_copies(found: Duplicates, folder: Path, html: Path | None, ids: Path | None) -> None:
    from bier.errors import quoted
    from bier.records.pictures import Picture
    from bier.report.copies import ShownCopy, write_copies
    from bier.system.files import write_text

    def picture(stored: Stored) -> Picture:
        return Picture(image=stored.image, label=stored.id, bbox=stored.box)

    console, copies = terminal(), found.to_remove()
    if html is not None:
        shown = [ShownCopy(picture(copy.keep), picture(copy.other), copy.similarity) for copy in copies]
        write_copies(shown, html, source=folder.name, cropped=True)
        console.print(f"page: {html}", soft_wrap=True)
    if ids is not None:
        write_text(ids, "".join(f"{copy.other.id}\n" for copy in copies))
        console.print(f"to remove them: bier index remove {quoted(folder)} --ids {quoted(ids)}", soft_wrap=True)
