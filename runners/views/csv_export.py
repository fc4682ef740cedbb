"""Tables as CSV: streamed, times in ISO 8601 UTC, cells no spreadsheet takes for a formula."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence

from django.http import StreamingHttpResponse

# What makes a spreadsheet compute a cell (OWASP, "CSV Injection"); tab and return lead there too.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


class _Echo:
    """A file that hands back what is written to it, so that the csv module streams."""

    def write(self, text: str) -> str:
        return text


def csv_response(
    filename: str, head: Sequence[str], rows: Iterable[Sequence[str]]
) -> StreamingHttpResponse:
    """Answer with a header row and these rows, as a file of that name."""
    response = StreamingHttpResponse(_lines(head, rows), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{filename}"'
    return response


def _lines(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    writer = csv.writer(_Echo())
    yield writer.writerow(head)
    for row in rows:
        yield writer.writerow([safe_cell(cell) for cell in row])


def safe_cell(text: str) -> str:
    """Return the cell with a quote in front when it begins like a formula."""
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text
