"""Bars of many symbols over trading dates: the dataset, its splits in time, dates ahead."""
