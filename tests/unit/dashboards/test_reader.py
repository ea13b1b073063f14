from tools.dashboards.reader import Variable, chosen_all, color_of, legend, read_dashboard, substituted


def test_dashboard_is_read_as_grafana_reads_it() -> None:
    board = read_dashboard("sale")
    stock = next(panel for panel in board.panels if panel.title == "Stock")
    assert stock.fixed["available"] == "green"
    assert (board.title, stock.kind, stock.stacked, stock.targets[0].legend) == ("Flashsale / Sale", "timeseries", True, "{{state}}")
    assert [variable.name for variable in board.variables] == ["namespace", "release", "job", "instance", "sale"]
    assert board.height == max(panel.place.y + panel.place.height for panel in board.panels)


def test_query_of_a_variable_uses_the_variables_before_it() -> None:
    asked = []

    def label_values(selector: str, label: str) -> list[str]:
        asked.append((selector, label))
        return ["a.b", "order-worker"]

    variables = [Variable("namespace", "up", "namespace", ".*"), Variable("job", 'up{namespace=~"$namespace"}', "job", "")]
    assert chosen_all(variables, label_values) == {"$namespace": ".*", "$job": r"(a\\.b|order-worker)"}
    assert asked == [("up", "namespace"), ('up{namespace=~".*"}', "job")]


def test_name_that_begins_with_another_is_not_replaced() -> None:
    assert substituted("$a $ab", {"$a": "1", "$ab": "2"}) == "1 2"


def test_legend_shows_labels() -> None:
    assert legend("{{job}} {{ instance }}{{none}}", {"job": "gateway", "instance": "x:1"}) == "gateway x:1"


def test_big_number_is_red_when_something_is_down() -> None:
    panel = next(panel for panel in read_dashboard("engine").panels if panel.title == "Redis durable")
    assert [color_of(panel, value) for value in (0, 1, 2)] == ["red", "green", "green"]
    assert (panel.mapped, panel.sparkline) == ({"0": "no", "1": "yes"}, False)
