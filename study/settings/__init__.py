"""The settings of a trial, section by section; `study.spec` puts them together."""
