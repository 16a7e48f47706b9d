"""Maintainers' scripts: releases, generated pages of the documentation, a lint of words."""
