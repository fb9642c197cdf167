package research

import (
	"context"
	"fmt"
	"strings"
)

// Rules stand in for a model: the same prompt has the same answer, always.
type Rules struct{}

// Complete does what the task of the prompt says.
func (Rules) Complete(_ context.Context, text string) (string, error) {
	var p prompt
	for l := range strings.Lines(text) {
		l = strings.TrimSuffix(l, "\n")
		if task, ok := strings.CutPrefix(l, "Task: "); ok {
			p.task = task
		} else if question, ok := strings.CutPrefix(l, "Question: "); ok {
			p.question = question
		} else if line, ok := strings.CutPrefix(l, "- "); ok {
			p.lines = append(p.lines, line)
		}
	}
	switch p.task {
	case taskPlan:
		return strings.Join(parts(p.question), "\n"), nil
	case taskExtract:
		return strings.Join(nearest(p.question, p.lines), "\n"), nil
	case taskReview:
		if len(p.lines) == 1 && shared(terms(p.question), p.lines[0]) > 0 {
			return "supported", nil
		}
		return "unsupported", nil
	case taskWrite:
		return compose(p.lines), nil
	}
	return "", fmt.Errorf("the rules know no task %q", p.task)
}

// parts splits a question where it has commas and ands.
func parts(question string) []string {
	var all []string
	cut := strings.NewReplacer(" and ", ",", ";", ",", "?", ",").Replace(question)
	for p := range strings.SplitSeq(cut, ",") {
		if p = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(p), "and ")); p != "" {
			all = append(all, p)
		}
	}
	return all
}

// most is how many lines are taken of those that are equally near.
const most = 3

// nearest are the lines that share the most words with the question.
// searcher.py does the same.
func nearest(question string, lines []string) []string {
	wanted, best := terms(question), 1
	var all []string
	for _, l := range lines {
		switch n := shared(wanted, l); {
		case n > best:
			best, all = n, []string{l}
		case n == best && len(all) < most:
			all = append(all, l)
		}
	}
	return all
}

// compose writes lines of the form "part -> sentence" below each other.
func compose(lines []string) string {
	var b strings.Builder
	last := ""
	for _, l := range lines {
		part, sentence, _ := strings.Cut(l, " -> ")
		if part != last {
			fmt.Fprintf(&b, "\n%s?\n", strings.ToUpper(part[:1])+part[1:])
			last = part
		}
		fmt.Fprintf(&b, "  %s\n", sentence)
	}
	return strings.TrimSpace(b.String())
}
