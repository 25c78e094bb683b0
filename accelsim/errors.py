"""One exception tree: every message is one line that names the place and the remedy.

The command line prints the message and exits with code 2; anything else is a defect of accelsim.
"""


class AccelsimError(Exception):
    """Base of everything that a user's input can cause."""


class InputError(AccelsimError):
    """A file or an argument that cannot be used as it is."""


class FileFormatError(InputError):
    """A file whose content is damaged or is not what its name says."""


class NetworkError(InputError):
    """A network with impossible shapes or values, or with a layer that is not supported."""


class HardwareError(InputError):
    """A machine description that is not valid."""


class CapacityError(InputError):
    """A layer that does not fit the machine's memories."""


class TechnologyError(InputError):
    """A technology table that is not valid, or a request outside its range."""
