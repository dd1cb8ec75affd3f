"""A column of text as Arrow holds it, which converts a hundred times faster than a list of Python strings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, overload

import pyarrow as pa
import pyarrow.compute as pc


class Texts(Sequence[str]):
    """Reads like a list of strings; ``cast`` converts the whole column at once, or says that it cannot."""

    def __init__(self, array: Any) -> None:
        self._array = array

    @cached_property
    def _list(self) -> list[str]:
        texts: list[str] = self._array.to_pylist()
        return texts

    def __len__(self) -> int:
        return len(self._array)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            part: list[str] = self._array[index].to_pylist()
            return part
        text: str = self._array[index].as_py()
        return text

    def __iter__(self) -> Iterator[str]:
        return iter(self._list)

    def cast(self, kind: Any) -> Any | None:
        """The column as another Arrow type, None where one text is not of it."""
        try:
            return pc.cast(self._array, kind)
        except pa.ArrowInvalid:
            return None
