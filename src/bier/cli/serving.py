"""``bier serve``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from bier.cli.app import TrustCode, app, terminal

MEGABYTES_KEPT = 1000


@app.command
def serve(
    index: Annotated[Path, Parameter(help="The index's folder.")],
    *,
    model: Annotated[str | None, Parameter(help="Run or model file. [default: where it lay when indexed]")] = None,
    host: Annotated[str, Parameter(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, Parameter(help="0 takes a free one.", validator=Number(gte=0, lte=65535))] = 8000,
    device: Annotated[Literal["auto", "cpu", "cuda", "mps"], Parameter(help="Where the model computes.")] = "auto",
    staged: Annotated[
        bool, Parameter(help="In stages: a shortlist by the first learner, from a copy in memory.", negative="")
    ] = False,
    recall: Annotated[
        float | None, Parameter(help="With --staged: share of the ten nearest that is found. [default: 0.98]")
    ] = None,
    rerank: Annotated[
        str | None,
        Parameter(help="Rank the first hits again: k-reciprocal, alpha-qe or dba, unless a request says otherwise."),
    ] = None,
    keep_uploads: Annotated[
        Path | None,
        Parameter(
            help="Keep pictures that were uploaded and marked in this folder, for `bier train --marks`. They may show "
            "people: docs/serve.md has a note on privacy. [default: none is kept]"
        ),
    ] = None,
    keep_uploads_limit: Annotated[
        float | None, Parameter(help="Most megabytes of kept pictures. [default: 1000]", validator=Number(gt=0))
    ] = None,
    batch: Annotated[int, Parameter(help="Most pictures in one go of the model.", validator=Number(gte=1))] = 16,
    queue: Annotated[
        int, Parameter(help="Most uploads in hand; one more is told to wait.", validator=Number(gte=1))
    ] = 64,
    max_megapixels: Annotated[
        float, Parameter(help="Largest picture that can be uploaded.", validator=Number(gt=0, lte=100))
    ] = 25,
    max_megabytes: Annotated[float, Parameter(help="Largest request.", validator=Number(gt=0))] = 20,
    timeout: Annotated[float, Parameter(help="Seconds that a request may take.", validator=Number(gt=0))] = 30,
    connections_from_one: Annotated[
        int, Parameter(help="Most connections from one address, such as a proxy.", validator=Number(gte=1))
    ] = 200,
    allow_anonymous: Annotated[bool, Parameter(negative="", help="Let other machines in without a token.")] = False,
    trust_code: TrustCode = False,
) -> None:
    """Search an index over HTTP and on a page in the browser.

    Requests must carry the secret in the environment variable BIER_TOKEN. Without one, only this machine is served.
    """
    from bier.cli.index_words import recall_of_stages
    from bier.errors import ConfigError
    from bier.search.reranked import RankAgain
    from bier.serve import ServeSettings
    from bier.serve import serve as run
    from bier.system.console import plain_console
    from bier.system.hardware import Hardware

    token = os.environ.get("BIER_TOKEN")
    if token is not None and not (token.isascii() and token.strip() == token and token):
        raise ConfigError("is empty, or has spaces around it or letters beyond ASCII", where="BIER_TOKEN")
    if keep_uploads_limit is not None and keep_uploads is None:
        raise ConfigError(
            "limits kept uploads, and none are kept",
            where="--keep-uploads-limit",
            remedy="name their folder with --keep-uploads, or leave this out",
        )
    settings = ServeSettings(
        title=index.resolve().name,
        token=token,
        marks=index / "marks.jsonl",
        uploads=keep_uploads,
        uploads_bytes=int((keep_uploads_limit or MEGABYTES_KEPT) * 1e6),
        staged=staged,
        recall=recall_of_stages(recall, staged),
        rerank=None if rerank is None else str(RankAgain.asked(rerank, "--rerank").reranking),
        batch=batch,
        queue=queue,
        body=int(max_megabytes * 1e6),
        pixels=int(max_megapixels * 1e6),
        connections_from_one=connections_from_one,
        seconds=timeout,
    )
    console = terminal()

    def listening(address: str) -> None:
        console.print(f"search: {address}\napi: {address}api\nstop: Ctrl-C", soft_wrap=True)

    run(
        index,
        settings,
        host=host,
        port=port,
        model=model,
        device=Hardware.resolve(device, where="--device").device.type,
        anonymous=allow_anonymous,
        trust_code=trust_code,
        listening=listening,
        waiting=lambda what: plain_console(stderr=True, soft_wrap=True).print(f"{what} ..."),
        following=lambda what: plain_console(stderr=True, soft_wrap=True).print(what),
    )
    console.print("stopped")
    # All is written and closed. Taking torch apart would take seconds, and a decode that nobody waits for as well.
    sys.stdout.flush()
    os._exit(0)
