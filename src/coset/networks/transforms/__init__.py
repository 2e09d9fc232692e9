"""What destroys a part of what items tell, so that the rest can be modelled by itself."""

from coset.discovery import public

globals().update(public(__name__))
