package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// A table is rows under headings, in columns as wide as they need be.
type table struct{ *tabwriter.Writer }

func newTable(out io.Writer, headings ...string) table {
	t := table{tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)}
	fmt.Fprintln(t, strings.Join(headings, "\t"))
	return t
}

func (t table) row(values ...any) {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = fmt.Sprint(v)
	}
	fmt.Fprintln(t, strings.Join(texts, "\t"))
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
