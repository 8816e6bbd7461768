"""A chart in a new size shows nothing until it was drawn for that size."""

from textual.app import App, ComposeResult
from tui_screen import screen_text, settle

from finetui.widgets.chart import ChartView


class OneChart(App[None]):
    def compose(self) -> ComposeResult:
        yield ChartView(0)


async def test_rows_of_another_size_are_not_shown() -> None:
    async with OneChart().run_test(size=(30, 4)) as pilot:
        chart = pilot.app.query_one(ChartView)
        chart.styles.width, chart.styles.height = 20, 3
        await settle(pilot)
        chart.show([(("drawn for twenty", ""),)])
        assert "drawn for twenty" in await settle(pilot)
        chart.styles.width = 25
        assert "drawn" not in await settle(pilot)
        chart.show([(("drawn for twenty", ""),)])
        await settle(pilot)
        assert "drawn for twenty" in screen_text(pilot.app)
