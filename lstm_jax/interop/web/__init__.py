"""A trained run as one page of HTML that reads texts, and shows why, in any browser.

`page` puts it together, `tables` packs the weights, `proof` runs the page's own JavaScript.
"""

from lstm_jax.interop.web.page import export_page
from lstm_jax.interop.web.proof import PageProof

__all__ = ["PageProof", "export_page"]
