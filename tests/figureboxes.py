"""What is drawn where in a figure."""


def long_names(n):
    return [f"large_omnivores_and_herbivores_{i}" for i in range(n)]


def assert_nothing_is_cut_off_or_overlaps(figure):
    """Check the drawn boxes: all text inside the figure, tick labels and titles apart."""
    figure.draw_without_rendering()
    page = figure.bbox
    groups = [[axes.title for axes in figure.axes] + [figure._suptitle]]
    for axes in figure.axes:
        groups += [axes.get_xticklabels(), axes.get_yticklabels()]
        groups.append([axes.xaxis.label, axes.yaxis.label])
    for group in groups:
        boxes = [text.get_window_extent() for text in group if text.get_text()]
        for i, box in enumerate(boxes):
            assert page.x0 <= box.x0 < box.x1 <= page.x1
            assert page.y0 <= box.y0 < box.y1 <= page.y1
            assert not any(box.overlaps(other) for other in boxes[:i])
