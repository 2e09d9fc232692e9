"""How contexts act on what z and the other contexts made; each action can be undone."""

from coset.discovery import public

globals().update(public(__name__))
