"""Codecs: how weights, predictors and permutations are stored. Pure: named arrays to bytes and back.

A codec is a module with a subclass of `nern.codecs.base.Codec`, and its name below. Importing all of them loads numpy
and pydantic; what a codec needs besides, it loads when it works.
"""

from typing import Annotated

from pydantic import Field

from nern.codecs.binary import Binary
from nern.codecs.codebook import Codebook
from nern.codecs.entropy import EntropyCoded
from nern.codecs.float import Float
from nern.codecs.low_rank import LowRank
from nern.codecs.sparse import Sparse
from nern.codecs.uniform import Uniform
from nern.codecs.vector import VectorCodebook

AnyCodec = Annotated[
    Float | Uniform | Binary | EntropyCoded | Codebook | VectorCodebook | Sparse | LowRank,
    Field(discriminator="kind"),
]

DISTILLABLE = (Uniform, Binary, EntropyCoded, VectorCodebook)
"""Those whose values can be trained while they are coded (`nern.method.coded`)."""
