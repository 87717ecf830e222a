"""The cases that send no mail: the ring alone, TCP alone."""
from stage import hl

OTHER = ()
