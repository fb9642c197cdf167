package research

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/pando-agents/pando"
	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/protocol"
	"github.com/pando-agents/pando/system"
)

// PlannerConfig is what the file says of a planner.
type PlannerConfig struct {
	Model     ModelConfig      `yaml:"model"`
	Searchers []system.Address `yaml:"searchers"`
	Critic    system.Address   `yaml:"critic"`
	Writer    system.Address   `yaml:"writer"`
	// Patience is how long one piece of work may take before it is given to
	// somebody else, or again; default 1 minute.
	Patience time.Duration `yaml:"patience"`
}

// Validate says what is wrong with it.
func (c *PlannerConfig) Validate() error {
	switch {
	case len(c.Searchers) == 0:
		return errors.New("a planner has searchers")
	case c.Critic.IsZero() || c.Writer.IsZero():
		return errors.New("a planner has a critic and a writer")
	case c.Patience < 0:
		return errors.New("patience cannot be negative")
	}
	return nil
}

// planner answers questions. It keeps nothing between them.
type planner struct {
	host      *system.Host
	model     Model
	patience  time.Duration
	searchers team[SearcherMessage]
	critic    team[CriticMessage]
	writer    team[WriterMessage]
}

func newPlanner(ctx context.Context, h *system.Host, c PlannerConfig) error {
	model, err := c.Model.model()
	if err != nil {
		return err
	}
	p := &planner{host: h, model: model, patience: c.Patience}
	if p.patience == 0 {
		p.patience = time.Minute
	}
	for _, a := range c.Searchers {
		ref, err := system.RefTo(h, a, searcherProtocol())
		if err != nil {
			return err
		}
		p.searchers = append(p.searchers, colleague[SearcherMessage]{a.String(), ref})
	}
	critic, err := system.RefTo(h, c.Critic, criticProtocol())
	if err != nil {
		return err
	}
	writer, err := system.RefTo(h, c.Writer, writerProtocol())
	if err != nil {
		return err
	}
	p.critic = team[CriticMessage]{{c.Critic.String(), critic}}
	p.writer = team[WriterMessage]{{c.Writer.String(), writer}}
	return spawn(ctx, h, plannerProtocol(), worker[PlannerMessage]{
		fail: func(m PlannerMessage, err error) { m.(Question).Fail(err) },
		work: func(ctx context.Context, m PlannerMessage) {
			q := m.(Question)
			text, err := p.answer(ctx, q.Text)
			if err != nil {
				h.Say("gives up: %v", err)
				if errors.Is(err, pando.ErrShuttingDown) { // for who has asked to know that it may pass
					err = &pando.RemoteError{Code: protocol.CodeShuttingDown, Message: err.Error()}
				}
				q.Fail(err)
				return
			}
			q.Send(system.Answer{Text: text})
		},
	}.saying(h, func(m PlannerMessage) string { return fmt.Sprintf("plans %q", m.(Question).Text) }))
}

// answer does the whole job.
func (p *planner) answer(ctx context.Context, question string) (string, error) {
	plan, err := p.model.Complete(ctx, prompt{task: taskPlan, question: question}.String())
	if err != nil {
		return "", err
	}
	parts := answered(plan)
	found := make([]Findings, len(parts))
	failed := make([]error, len(parts))
	var searching sync.WaitGroup
	for i, part := range parts {
		searching.Go(func() {
			found[i], failed[i] = delegate(ctx, p, fmt.Sprintf("part %d", i+1), p.searchers, i,
				func(r actors.Reply[Findings]) SearcherMessage { return Search{r, part} })
		})
	}
	searching.Wait()
	if err := errors.Join(failed...); err != nil {
		return "", err
	}
	claims := []Claim{}
	for _, f := range found {
		claims = append(claims, f.Claims...)
	}
	verdict, err := delegate(ctx, p, "the claims", p.critic, 0,
		func(r actors.Reply[Verdict]) CriticMessage { return Review{r, claims} })
	if err != nil {
		return "", err
	}
	report, err := delegate(ctx, p, "the report", p.writer, 0,
		func(r actors.Reply[Report]) WriterMessage {
			return Write{r, question, verdict.Accepted, verdict.Rejected}
		})
	return report.Text, err
}

// team are actors that can do the same work.
type team[M any] []colleague[M]

type colleague[M any] struct {
	name string
	ref  actors.Ref[M]
}

// The pauses when nobody of a team could do the work.
const (
	firstPause = 25 * time.Millisecond
	lastPause  = time.Second
)

// delegate has a piece of work done by one of a team, beginning with that number.
// What is lost is given to the next one, and, when all have had it, to all again:
// a killed agent comes back. Work may be done twice; it changes nothing.
func delegate[M, R any](ctx context.Context, p *planner, what string, to team[M], first int, request func(actors.Reply[R]) M) (R, error) {
	pause := firstPause
	for n := 0; ; n++ {
		c := to[(first+n)%len(to)]
		answer, err := ask(ctx, p.patience, c.ref, request)
		if err == nil {
			if n > 0 {
				p.host.Say("has %s from %s, at the second go or later (%d)", what, c.name, n+1)
			}
			return answer, nil
		}
		late := errors.Is(err, context.DeadlineExceeded)
		if ctx.Err() != nil || !late && !system.Passing(err) {
			return answer, fmt.Errorf("%s at %s: %w", what, c.name, err)
		}
		next := to[(first+n+1)%len(to)].name
		if !errors.Is(err, actors.ErrUnreachable) {
			p.host.Say("lost %s at %s: %s has to do it", what, c.name, next)
			pause = firstPause
		}
		if (n+1)%len(to) != 0 {
			continue
		}
		if n+1 == len(to) {
			p.host.Say("waits for %s: nobody is there for %s", next, what)
		}
		wait, stop := context.WithTimeout(ctx, pause)
		<-wait.Done()
		stop()
		pause = min(2*pause, lastPause)
	}
}

// ask is actors.Ask with patience. The context of an actor would not wait.
func ask[M, R any](ctx context.Context, patience time.Duration, to actors.Ref[M], request func(actors.Reply[R]) M) (R, error) {
	waits, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	return actors.Ask(waits, to, request)
}

// Register adds the constructors of the team to a catalogue.
func Register(c *system.Catalogue) {
	system.Register(c, "research.planner", "splits a question, has its parts researched, and puts the report together", newPlanner)
	system.Register(c, "research.searcher", "looks up what the documents say", newSearcher)
	system.Register(c, "research.critic", "rejects claims that the documents do not support", newCritic)
	system.Register(c, "research.writer", "writes the report", newWriter)
}
