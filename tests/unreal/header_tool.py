"""A small stand-in for Unreal's header tool: writes `NAME.generated.h` and rejects what the real one would.

    header_tool.py OUT HEADER...

It reads the marks UCLASS, USTRUCT, UENUM, UPROPERTY, UFUNCTION and the declaration of dynamic delegates. The rules it
checks are those of Epic's documentation that these headers could break: a `.generated.h` included last and named like
the file, types that reflection knows, categories, enums of `uint8`, nothing private shown to Blueprints.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

VALUES = {"bool", "uint8", "int32", "int64", "float", "double", "FString", "FName", "FText", "FVector", "FVector2D"}
VALUES |= {"FRotator", "FTransform", "FLinearColor"}
MARK = re.compile(r"^\s*(UCLASS|USTRUCT|UENUM|UPROPERTY|UFUNCTION|GENERATED_BODY)\((.*)\)\s*$")
DELEGATE = re.compile(r"^DECLARE_DYNAMIC_MULTICAST_DELEGATE(?:_\w+)?\((\w+)(?:, (.*))?\);$")
TYPE = re.compile(r"^(?:class|struct|enum class) (?:(\w+_API) )?(\w+)(?: : (?:public )?(\w+))?\s*$")
FUNCTION = re.compile(r"^(?:static |virtual )?(.+?)\s*\b(\w+)\((.*)\)(?: const)?(?: override)?(?:;|\s*\{.*\})$")
PROPERTY = re.compile(r"^(.+?)\s+(\w+)(?: = .+)?;$")


class HeaderError(Exception):
    """An error of the header tool, with file and line."""


class Header:
    """One header: its reflected types, checked, and the macros for its GENERATED_BODY lines."""

    def __init__(self, path: Path, known: set[str]) -> None:
        self.path = path
        self.known = known
        self.lines = path.read_text(encoding="utf-8").splitlines()
        self.bodies: list[str] = []
        self._type: tuple[str, str] | None = None
        self._public = False
        self._check_includes()
        for number, line in enumerate(self.lines, start=1):
            self._read(number, line)

    @property
    def file_id(self) -> str:
        return f"FID_{self.path.stem}_h"

    def generated(self) -> str:
        """The text of the generated header."""
        return "\n".join(["#undef CURRENT_FILE_ID", f"#define CURRENT_FILE_ID {self.file_id}", *self.bodies, ""])

    def _fail(self, number: int, why: str) -> None:
        raise HeaderError(f"{self.path.name}:{number}: {why}")

    def _check_includes(self) -> None:
        includes = [(n, line.split('"')[1]) for n, line in enumerate(self.lines, 1) if line.startswith('#include "')]
        wanted = f"{self.path.stem}.generated.h"
        if not includes or includes[-1][1] != wanted:
            self._fail(includes[-1][0] if includes else 1, f"the last include must be {wanted}")

    def _declaration(self, number: int) -> tuple[int, str]:
        """The declaration after a mark, joined to one line."""
        text = ""
        for offset, line in enumerate(self.lines[number:]):
            text = f"{text} {line.strip()}".strip()
            if text.endswith((";", "}", "{")) or TYPE.match(text):
                return number + 1 + offset, text
        self._fail(number, "nothing is declared after this mark")
        raise AssertionError

    def _read(self, number: int, line: str) -> None:
        stripped = line.strip()
        if stripped in {"public:", "protected:", "private:"}:
            self._public = stripped == "public:"
        if found := DELEGATE.match(stripped):
            self._check_delegate(number, *found.groups())
        if not (found := MARK.match(line)):
            return
        mark, specifiers = found.groups()
        if mark == "GENERATED_BODY":
            self._write_body(number)
            return
        at, declared = self._declaration(number)
        if mark in {"UCLASS", "USTRUCT", "UENUM"}:
            self._check_type(at, mark, specifiers, declared)
        elif mark == "UFUNCTION":
            self._check_function(at, specifiers, declared)
        else:
            self._check_property(at, specifiers, declared)

    def _check_type(self, number: int, mark: str, specifiers: str, declared: str) -> None:
        found = TYPE.match(declared)
        if found is None:
            self._fail(number, f"not a declaration of a type: {declared}")
            raise AssertionError
        api, name, base = found.groups()
        if mark == "UENUM":
            if base != "uint8" or not name.startswith("E"):
                self._fail(number, f"{name}: an enum for Blueprints is E... : uint8")
            return
        if not name.startswith({"UCLASS": ("U", "A"), "USTRUCT": ("F",)}[mark]):
            self._fail(number, f"{name} has the wrong first letter for {mark}")
        if api is None:
            self._fail(number, f"{name} is not exported: say ..._API")
        if mark == "USTRUCT" and "BlueprintType" not in specifiers:
            self._fail(number, f"{name} cannot be seen in Blueprints: say USTRUCT(BlueprintType)")
        self._type = (name, base or "")
        self._public = mark == "USTRUCT"

    def _write_body(self, number: int) -> None:
        if self._type is None:
            self._fail(number, "GENERATED_BODY outside of a reflected type")
            raise AssertionError
        name, base = self._type
        inner = f"public: typedef {base} Super; typedef {name} ThisClass; private:" if base else ""
        self.bodies.append(f"#define {self.file_id}_{number}_GENERATED_BODY {inner}")

    def _check_value(self, number: int, text: str) -> None:
        text = text.removeprefix("const ").removesuffix("&").strip()
        if inner := re.fullmatch(r"(?:TArray|TObjectPtr|TSubclassOf)<(.+)>", text):
            self._check_value(number, inner[1])
        elif inner := re.fullmatch(r"TMap<(.+), (.+)>", text):
            self._check_value(number, inner[1])
            self._check_value(number, inner[2])
        elif not (text in VALUES or text.removesuffix("*") in self.known or re.fullmatch(r"[UA]\w+\*?", text)):
            self._fail(number, f"reflection does not know the type {text}")

    def _check_parameters(self, number: int, parameters: str) -> None:
        for parameter in re.split(r",\s*(?![^<]*>)", parameters):
            if parameter:
                self._check_value(number, parameter.strip().rsplit(" ", 1)[0])

    def _check_delegate(self, number: int, name: str, pairs: str | None) -> None:
        if not name.startswith("F"):
            self._fail(number, f"{name}: a delegate's name begins with F")
        for text in (pairs or "").split(", ")[::2]:
            if text:
                self._check_value(number, text)
        self.known.add(name)

    def _check_function(self, number: int, specifiers: str, declared: str) -> None:
        found = FUNCTION.match(declared)
        if found is None:
            self._fail(number, f"not a function: {declared}")
            raise AssertionError
        returned, name, parameters = found.groups()
        shown = re.search(r"Blueprint(Callable|Pure)", specifiers)
        if shown and "Category" not in specifiers:
            self._fail(number, f"{name} needs a Category")
        if shown and not self._public:
            self._fail(number, f"{name} is shown to Blueprints and must be public")
        if shown and shown[1] == "Pure" and returned == "void":
            self._fail(number, f"{name}: a pure function returns something")
        if returned != "void":
            self._check_value(number, returned)
        self._check_parameters(number, parameters)

    def _check_property(self, number: int, specifiers: str, declared: str) -> None:
        found = PROPERTY.match(declared)
        if found is None:
            self._fail(number, f"not a property: {declared}")
            raise AssertionError
        kind, name = found.groups()
        shown = re.search(r"Blueprint|Edit|Visible", specifiers)
        if shown and "Category" not in specifiers:
            self._fail(number, f"{name} needs a Category")
        if shown and not self._public:
            self._fail(number, f"{name} is shown and must be public")
        if kind == "bool" and not re.match(r"b[A-Z]", name):
            self._fail(number, f"{name}: a bool's name begins with b")
        if kind.endswith("*"):
            self._fail(number, f"{name}: hold objects as TObjectPtr")
        self._check_value(number, kind)


def main(out: Path, paths: list[Path]) -> int:
    """Check all headers and write what they include."""
    texts = [path.read_text(encoding="utf-8") for path in paths]
    known = {name for text in texts for name in re.findall(r"^(?:struct \w+_API|enum class) (\w+)", text, re.MULTILINE)}
    out.mkdir(parents=True, exist_ok=True)
    # Delegates of one header may be used in another.
    known |= {name for text in texts for name in re.findall(r"^DECLARE_DYNAMIC\w+\((\w+)", text, re.MULTILINE)}
    try:
        for path in paths:
            (out / f"{path.stem}.generated.h").write_text(Header(path, known).generated(), encoding="utf-8")
    except HeaderError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), [Path(word) for word in sys.argv[2:]]))
