"""What items may be, given what a decoder says of them; each likelihood tells encoders how to read its items."""

from coset.discovery import public

globals().update(public(__name__))
