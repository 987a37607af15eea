"""What the camera app uses of libcamera."""


class ColorSpace:
    """A colour space, by name."""

    def __init__(self, name: str) -> None:
        self.name = name

    @classmethod
    def Smpte170m(cls) -> "ColorSpace":
        return cls("smpte170m")
