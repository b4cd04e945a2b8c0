"""Networks as tables and drawings, in notebooks."""

import pytest

import fnnfast as fnn


def test_a_summary_is_text_and_shown_as_it_is():
    net = fnn.Sequential([fnn.Input(4), fnn.Dense(3, "softmax")], seed=0)
    found = net.summary()
    assert isinstance(found, str)
    assert found + "\n" == str(found) + "\n"
    assert found._repr_html_().startswith("<pre>1-layer network, 4 inputs")


def test_a_network_is_drawn():
    chain = [fnn.Conv2D(8, 3, "relu"), fnn.Residual([fnn.Conv2D(8, 3, padding=1)]), fnn.Flatten(), fnn.Dense(2)]
    net = fnn.Sequential([fnn.Input(9, 9, 3), *chain], seed=0)
    for made in (net, net.freeze()):
        text = made._repr_html_()
        assert text.count("<rect") == 5  # the input, and the layers of the chain
        for label in ("conv2d_1", "7 x 7 x 8", "residual_1", ">392<", "dense_1"):
            assert label in text
        assert "3-layer network, 243 inputs, 2 outputs" in text
    html = pytest.importorskip("html.parser")
    parser = html.HTMLParser()
    parser.feed(text)
    parser.close()
