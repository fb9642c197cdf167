package demo

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// page lays the story out.
type page struct {
	out   io.Writer
	color bool
}

// width is where the times end; it fits into any terminal.
const width = 78

// The styles: SGR sequences of ECMA-48.
const (
	bold   = "1"
	dim    = "2"
	red    = "1;31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
)

func (p *page) paint(style, text string) string {
	if !p.color {
		return text
	}
	return "\x1b[" + style + "m" + text + "\x1b[0m"
}

func (p *page) line(format string, args ...any) { _, _ = fmt.Fprintf(p.out, format+"\n", args...) }

func (p *page) opening() {
	p.line("%s", p.paint(bold, "Pando: what a channel survives"))
	p.line("%s", p.paint(dim, "One process, loopback only. The sockets, the tokens and the crashes are real."))
}

func (p *page) chapter(n int, title, lead string) {
	p.line("")
	p.line("%s", p.paint(bold, fmt.Sprintf("%2d  %s", n, title)))
	p.line("    %s", lead)
}

// step prints a sentence with its time at the right, and what was seen below.
func (p *page) step(s *Step, took time.Duration) {
	mark, text := p.paint(green, p.symbol("✓", "+")), s.What
	if !s.OK {
		mark, text = p.paint(red, p.symbol("✗", "!")), p.paint(red, s.What)
	}
	shown := span(took)
	gap := max(1, width-6-utf8.RuneCountInString(s.What+shown))
	p.line("    %s %s%s%s", mark, text, strings.Repeat(" ", gap), p.paint(cyan, shown))
	for _, l := range wrap(s.Saw, width-8) {
		p.line("        %s", p.paint(dim, l))
	}
}

func (p *page) shows(what string) {
	if what != "" {
		p.line("    %s %s", p.paint(yellow, p.symbol("→", "=>")), what)
	}
}

func (p *page) ending(r *Report) {
	steps := 0
	for _, c := range r.Chapters {
		steps += len(c.Steps)
	}
	p.line("")
	if r.OK {
		p.line("%s", p.paint(bold, fmt.Sprintf("All %d steps held, in %.1f s.", steps, r.TookMS/1000)))
		return
	}
	p.line("%s", p.paint(red, "It did not hold: "+r.Error))
}

func (p *page) symbol(nice, plain string) string {
	if p.color {
		return nice
	}
	return plain
}

// span writes a time with as many digits as mean something.
func span(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%.0f µs", float64(d.Nanoseconds())/1000)
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", milliseconds(d))
	case d < time.Second:
		return fmt.Sprintf("%.0f ms", milliseconds(d))
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

// wrap breaks text between words.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}
