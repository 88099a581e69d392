"""Help of a command: its options in groups."""

import click

# Options without their dashes, in the order of the groups.
_GROUPS = {
    "Models": "cnn no-cnn svm ensemble robustness normalise checkpoint-key arch image-size",
    "Settings": "preset config searched",
    "Images and labels": "data dataset resize split-seed skip-md5 synthetic label-csv labels "
    "split limit holdout folds validation files-from",
    "Features": "features filters patch-size pooling cells threshold filter-kind layers hog-cell "
    "hog-orientations pca whiten ridge-scores ridge-pca ridge-kernel augment",
    "SVM": "C kernel gamma degree coef0 tol max-iter class-weight probability",
    "Network": "arch width set head image-size weights",
    "Training": "trials head-epochs head-learning-rate epochs batch-size optimizer learning-rate "
    "schedule milestones weight-decay label-smoothing augmentation jitter normalise keep patience "
    "snapshots precision",
    "Outputs": "format out samples table heatmap json figure top per-class half slim resume track "
    "study overwrite",
    "How to run": "backend dask strict device seed memory-limit jobs no-cache verbose quiet help",
}
_GROUP_OF = {flag: title for title, flags in _GROUPS.items() for flag in flags.split()}
# With fewer options a list is easier to read.
_LEAST_GROUPED = 10


class GroupedCommand(click.Command):
    """Lists the options in groups, if there are many; any other is among the last ones."""

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options."""
        records = {
            option: record
            for option in self.get_params(context)
            if isinstance(option, click.Option) and (record := option.get_help_record(context))
        }
        if len(records) < _LEAST_GROUPED:
            super().format_options(context, formatter)
            return
        *_, last = _GROUPS
        for title in _GROUPS:
            lines = [
                record
                for option, record in records.items()
                if _GROUP_OF.get(option.opts[-1].lstrip("-"), last) == title
            ]
            if lines:
                with formatter.section(title):
                    formatter.write_dl(lines)
