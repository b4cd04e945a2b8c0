"""The local page of ``python -m fnnfast playground``.

What is set (``settings``), its data (``data``), its network (``build``), its training (``run``, ``worker``), its script
(``script``) and what is seen of it (``shown``, ``history``, ``curves``, ``widths``, ``pixels``) know nothing of a
browser. ``figures``, ``page``, the pages of the parts and ``server`` put them on a Bokeh server; ``web`` has the form
around the figures.
"""
