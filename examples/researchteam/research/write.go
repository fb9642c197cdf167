package research

import (
	"context"
	"fmt"
	"strings"
)

// write lets the model write the text, and adds what has to be right: the sources
// and what was rejected.
func write(ctx context.Context, model Model, w Write) (string, error) {
	p := prompt{task: taskWrite, question: w.Question}
	sources := []string{}
	seen := map[string]bool{}
	for _, c := range w.Accepted {
		p.lines = append(p.lines, fmt.Sprintf("%s -> %s [%s]", c.Part, c.Text, c.Document))
		if d, known := find(c.Document); known && !seen[c.Document] {
			seen[c.Document] = true
			sources = append(sources, fmt.Sprintf("  [%s] %s: %s", d.name, d.title, d.source))
		}
	}
	text := "The documents say nothing about this."
	if len(p.lines) > 0 {
		var err error
		if text, err = model.Complete(ctx, p.String()); err != nil {
			return "", err
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Question: %s\n\n%s\n", w.Question, strings.TrimSpace(text))
	if len(sources) > 0 {
		fmt.Fprintf(&b, "\nSources\n%s\n", strings.Join(sources, "\n"))
	}
	if len(w.Rejected) > 0 {
		b.WriteString("\nRejected\n")
		for _, r := range w.Rejected {
			fmt.Fprintf(&b, "  %q [%s]: %s\n", r.Claim.Text, r.Claim.Document, r.Why)
		}
	}
	return b.String(), nil
}
