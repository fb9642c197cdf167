package system

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pando-agents/pando"
	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/actors/remote"
	"github.com/pando-agents/pando/protocol"
)

// AskType is the type of the messages with which the commands put a question to
// the actor that the file names under "ask". The data is {"text": …}; the answer is
// an Answer. An actor that takes questions has a message like
//
//	type Question struct {
//		actors.Reply[system.Answer]
//		Text string `json:"text"`
//	}
//
// with this name in its protocol. When contact is lost the question is put again.
const AskType = "system.ask"

// Answer is the answer to a question.
type Answer struct {
	Text string `json:"text"`
}

// asking are the messages of actors that take questions, as far as the commands
// know them.
type asking interface{ isAsking() }

type question struct {
	actors.Reply[Answer]
	Text string `json:"text"`
}

func (question) isAsking() {}

var errCannotAsk = errors.New("the file does not say whom to ask: it has no key \"ask\"")

// ask runs the operator's agent and puts the question until it is answered, or
// refused, or ctx ends.
func (w *world) ask(ctx context.Context, text string) (string, error) {
	if w.file.Ask.IsZero() {
		return "", errCannotAsk
	}
	c, err := credentials(w.dir, operator)
	if err != nil {
		return "", err
	}
	m := &member{world: w, spec: &Agent{Name: operator}, seat: seat{ID: c.AgentID}}
	agent, err := pando.New(c, m.options()...)
	if err != nil {
		return "", err
	}
	to, err := refTo(w, agent, w.file.Ask, remote.NewProtocol[asking](remote.Message[question](AskType)))
	if err != nil {
		return "", err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	ran := make(chan error, 1)
	go func() { ran <- agent.Run(running) }()
	defer func() {
		stop()
		<-ran
	}()
	return w.put(ctx, to, text)
}

// put asks again for as long as contact is lost or was not made. What was begun
// before may be done twice.
func (w *world) put(ctx context.Context, to actors.Ref[asking], text string) (string, error) {
	last := ""
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		if last == "" {
			w.tell(Event{Kind: EventAsked, Agent: w.file.Ask.Agent, Actor: w.file.Ask.Actor, Text: text})
		}
		answer, err := actors.Ask(ctx, to, func(r actors.Reply[Answer]) asking { return question{r, text} })
		if err == nil {
			return answer.Text, nil
		}
		if ctx.Err() != nil || !Passing(err) {
			return "", fmt.Errorf("ask %s: %w", w.file.Ask, err)
		}
		if !errors.Is(err, actors.ErrUnreachable) {
			pause, last = 20*time.Millisecond, "" // it had the question, and lost it
		}
		if why := oneLine(err); why != last && !errors.Is(err, actors.ErrUnreachable) {
			w.tell(Event{Kind: EventDown, Agent: w.file.Ask.Agent, Actor: w.file.Ask.Actor, Text: "no answer: " + why})
		} else {
			last = why
		}
		if !pauseFor(ctx, pause) {
			return "", fmt.Errorf("ask %s: %w", w.file.Ask, err)
		}
	}
}

// Passing reports whether an error of an Ask may pass: the actor, its agent or the
// way to it was lost or is not there yet, or the agent is about to stop, so that a question that may be put twice
// is worth putting again.
func Passing(err error) bool {
	for _, e := range []error{actors.ErrLost, actors.ErrUnreachable, actors.ErrNotRun, actors.ErrStopped, actors.ErrMailboxFull} {
		if errors.Is(err, e) {
			return true
		}
	}
	var told *pando.RemoteError
	return errors.As(err, &told) && (told.Code == protocol.CodeShuttingDown || told.Code == protocol.CodeOverloaded)
}
