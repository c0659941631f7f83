"""What the pages show: findings in sentences, tables and figures, computed from a record.

One folder per paper, one module per page with the page's name. A page holds prose, equations and
calls of one line; what it shows is a tested function here. Nothing here imports torch when it is
imported, so that opening a published page stays cheap.
"""
