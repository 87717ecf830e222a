"""The page with the plots."""


def write(path, found):
    with open(path, "w") as f:
        f.write("")
