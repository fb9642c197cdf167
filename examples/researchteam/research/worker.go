package research

import (
	"context"
	"fmt"
	"time"

	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/actors/remote"
	"github.com/pando-agents/pando/system"
)

// WorkerConfig is what the file says of a searcher, a critic or a writer.
type WorkerConfig struct {
	Model ModelConfig `yaml:"model"`
	// Pace is how long each piece of work takes at least: with rules for a model
	// everything is over before anybody can watch it.
	Pace time.Duration `yaml:"pace"`
}

// Validate says what is wrong with it.
func (c *WorkerConfig) Validate() error {
	if c.Pace < 0 {
		return fmt.Errorf("pace cannot be negative")
	}
	return nil
}

// worker does what each message says on a goroutine of its own: an actor does not
// wait.
type worker[M any] struct {
	pace  time.Duration
	begin func(m M) // tells that it does
	work  func(ctx context.Context, m M)
	fail  func(m M, err error)
}

// Receive begins a piece of work.
func (w *worker[M]) Receive(c *actors.Context[M], m M) {
	ctx := c.Context() // ends with this life of the actor
	go func() {
		defer func() {
			if v := recover(); v != nil { // what panics here would end the process
				w.fail(m, fmt.Errorf("panic: %v", v))
			}
		}()
		w.begin(m)
		t := time.NewTimer(w.pace)
		defer t.Stop()
		select {
		case <-t.C:
			w.work(ctx, m)
		case <-ctx.Done():
		}
	}()
}

// spawn spawns a worker as the actor of the file.
func spawn[M any](ctx context.Context, h *system.Host, p *remote.Protocol[M], w worker[M]) error {
	_, err := system.Spawn(ctx, h, actors.Spec[M]{New: func() actors.Actor[M] { return &w }}, p)
	return err
}

func newSearcher(ctx context.Context, h *system.Host, c WorkerConfig) error {
	model, err := c.Model.model()
	if err != nil {
		return err
	}
	return spawn(ctx, h, searcherProtocol(), worker[SearcherMessage]{
		pace: c.Pace, fail: func(m SearcherMessage, err error) { m.(Search).Fail(err) },
		work: func(ctx context.Context, m SearcherMessage) {
			s := m.(Search)
			f, err := search(ctx, model, s.Query)
			if err != nil {
				s.Fail(err)
				return
			}
			h.Say("found %d sentences for %q", len(f.Claims), s.Query)
			s.Send(f)
		},
	}.saying(h, func(m SearcherMessage) string { return fmt.Sprintf("looks up %q", m.(Search).Query) }))
}

// saying tells when a piece of work begins.
func (w worker[M]) saying(h *system.Host, what func(M) string) worker[M] {
	w.begin = func(m M) { h.Say("%s", what(m)) }
	return w
}

// search lets the model choose among the sentences that could answer. Whatever
// else it writes is dropped: a claim is a sentence of a document.
func search(ctx context.Context, model Model, query string) (Findings, error) {
	all := candidates(query)
	byText := map[string]Claim{}
	p := prompt{task: taskExtract, question: query}
	for _, c := range all {
		byText[c.Text] = c
		p.lines = append(p.lines, c.Text)
	}
	f := Findings{Claims: []Claim{}}
	if len(all) == 0 {
		return f, nil
	}
	answer, err := model.Complete(ctx, p.String())
	if err != nil {
		return f, err
	}
	for _, l := range answered(answer) {
		if c, ok := byText[l]; ok {
			f.Claims = append(f.Claims, c)
		}
	}
	return f, nil
}

func newCritic(ctx context.Context, h *system.Host, c WorkerConfig) error {
	model, err := c.Model.model()
	if err != nil {
		return err
	}
	return spawn(ctx, h, criticProtocol(), worker[CriticMessage]{
		pace: c.Pace, fail: func(m CriticMessage, err error) { m.(Review).Fail(err) },
		work: func(ctx context.Context, m CriticMessage) {
			r := m.(Review)
			v, err := review(ctx, model, r.Claims)
			if err != nil {
				r.Fail(err)
				return
			}
			h.Say("accepts %d claims and rejects %d", len(v.Accepted), len(v.Rejected))
			r.Send(v)
		},
	}.saying(h, func(m CriticMessage) string { return fmt.Sprintf("reads %d claims", len(m.(Review).Claims)) }))
}

// review checks claims against the documents, and then asks the model.
func review(ctx context.Context, model Model, claims []Claim) (Verdict, error) {
	v := Verdict{Accepted: []Claim{}, Rejected: []Rejection{}}
	for _, c := range claims {
		why := ""
		switch d, known := find(c.Document); {
		case !known:
			why = "there is no such document"
		case !d.says(c.Text):
			why = "the document does not say so"
		case d.source == "none":
			why = "nobody vouches for the document"
		default:
			answer, err := model.Complete(ctx, prompt{task: taskReview, question: c.Part, lines: []string{c.Text}}.String())
			if err != nil {
				return v, err
			}
			if said := answered(answer); len(said) == 0 || said[0] != "supported" {
				why = "it does not answer the question"
			}
		}
		if why == "" {
			v.Accepted = append(v.Accepted, c)
		} else {
			v.Rejected = append(v.Rejected, Rejection{c, why})
		}
	}
	return v, nil
}

func newWriter(ctx context.Context, h *system.Host, c WorkerConfig) error {
	model, err := c.Model.model()
	if err != nil {
		return err
	}
	return spawn(ctx, h, writerProtocol(), worker[WriterMessage]{
		pace: c.Pace, fail: func(m WriterMessage, err error) { m.(Write).Fail(err) },
		work: func(ctx context.Context, m WriterMessage) {
			w := m.(Write)
			text, err := write(ctx, model, w)
			if err != nil {
				w.Fail(err)
				return
			}
			h.Say("has written the report")
			w.Send(Report{text})
		},
	}.saying(h, func(m WriterMessage) string { return fmt.Sprintf("writes from %d claims", len(m.(Write).Accepted)) }))
}
