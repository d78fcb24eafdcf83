def unavailable() -> str:
    return "not in this release"
