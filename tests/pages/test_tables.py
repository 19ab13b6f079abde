from lt_det.pages.tables import Cell, Table, markdown_table


def test_markdown_shows_every_text_as_it_is():
    table = Table("", "", ("method", "AP"), [[Cell("a|b *c* <i>\nd`"), Cell("1.00", 1.0, True)]])
    line = markdown_table(table).splitlines()[-1]
    assert line.replace(" ", "") == r"|a\|b\*c\*&lt;i>d\`|**1.00**|"
