package system

import (
	"fmt"
	"slices"
	"strings"
)

// Problem is something that is wrong with a system file.
type Problem struct {
	File string `json:"file"`
	// Line and Column count from 1, the column in characters.
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Message string `json:"message"`
	// Hint says what may have been meant, or is empty.
	Hint string `json:"hint,omitempty"`
}

// String is the problem on one line, as compilers write it.
func (p Problem) String() string {
	s := fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Message)
	if p.Hint != "" {
		s += " (" + p.Hint + ")"
	}
	return s
}

// Problems is all that is wrong with a system file, in the order of the file. It
// is an error, and never empty.
type Problems []Problem

// Error is the problems, one on each line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, one := range p {
		lines[i] = one.String()
	}
	return strings.Join(lines, "\n")
}

func (p Problems) sort() {
	slices.SortStableFunc(p, func(a, b Problem) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
}

// place is where something is in the file.
type place struct{ line, column int }

// didYouMean is a hint if one of the names is near.
func didYouMean(name string, names []string) string {
	best, found := 1+len(name)/3, ""
	for _, n := range names {
		if d := distance(strings.ToLower(name), strings.ToLower(n)); d <= best && d < len(n) {
			if d < best || found == "" {
				best, found = d, n
			}
		}
	}
	if found == "" {
		return ""
	}
	return fmt.Sprintf("did you mean %q?", found)
}

// distance counts the letters that were added, left out, changed, or swapped
// with their neighbour, to get from a to b.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return len(a) + len(b)
	}
	var rows [3][66]int // the last two rows, and the one in the making
	for j := range len(b) + 1 {
		rows[1][j] = j
	}
	for i := 1; i <= len(a); i++ {
		above, row := &rows[1], &rows[2]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(above[j]+1, row[j-1]+1, above[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], rows[0][j-2]+1)
			}
		}
		rows[0], rows[1] = rows[1], rows[2]
	}
	return rows[1][len(b)]
}
