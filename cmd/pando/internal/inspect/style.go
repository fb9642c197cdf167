package inspect

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// The styles: SGR sequences of ECMA-48.
const (
	plain  = ""
	bold   = "1"
	dim    = "2"
	red    = "1;31"
	green  = "32"
	yellow = "33"
)

// span is text in one style.
type span struct{ text, style string }

// line is what one line of the screen shows.
type line []span

func text(s string) line { return line{{s, plain}} }

func (l line) width() int {
	n := 0
	for _, s := range l {
		n += utf8.RuneCountInString(s.text)
	}
	return n
}

// paint writes the line, cut to width if that is not 0.
func (l line) paint(width int, color bool) string {
	var b strings.Builder
	if width > 0 && l.width() > width {
		l = l.cut(width)
	}
	for _, s := range l {
		if color && s.style != plain {
			b.WriteString("\x1b[" + s.style + "m" + s.text + "\x1b[0m")
		} else {
			b.WriteString(s.text)
		}
	}
	return strings.TrimRight(b.String(), " ")
}

func (l line) cut(width int) line {
	out := make(line, 0, len(l)+1)
	left := width - 1
	for _, s := range l {
		n := utf8.RuneCountInString(s.text)
		if n > left {
			return append(out, span{string([]rune(s.text)[:left]), s.style}, span{"…", dim})
		}
		out, left = append(out, s), left-n
	}
	return out
}

// printable makes text from elsewhere harmless: peers choose the ids of
// channels, and what a terminal is told to do is not theirs to choose.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t', r == '\r':
			return ' '
		case r == utf8.RuneError, !unicode.IsPrint(r):
			return '·'
		}
		return r
	}, s)
}

// short keeps the beginning of an id, which is enough to tell them apart.
func short(id string) string {
	const kept = 8
	if utf8.RuneCountInString(id) <= kept+4 {
		return id
	}
	return string([]rune(id)[:kept]) + "…"
}

// shortPath shortens the ids in a path.
func shortPath(path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		if utf8.RuneCountInString(p) > 20 {
			parts[i] = short(p)
		}
	}
	return strings.Join(parts, "/")
}

// age writes a duration with its two largest units.
func age(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%02dh", int(d.Hours())/24, int(d.Hours())%24)
}

// bytes writes a number of bytes.
func bytes(n int) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

// count writes a number with its noun.
func count[N int | uint64](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
