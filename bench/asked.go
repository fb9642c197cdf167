package main

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"

	"github.com/pando-agents/pando"
	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/actors/remote"
	"github.com/pando-agents/pando/bench/ask"
	"github.com/pando-agents/pando/bench/load"
	"github.com/pando-agents/pando/bench/rpc"
	"github.com/pando-agents/pando/identity"
	"github.com/pando-agents/pando/supervisor"
)

// question asks an actor for its text.
type question struct {
	actors.Reply[ask.Text]
	ask.Text
}

var questions = remote.NewProtocol[question](remote.Message[question]("bench.ask"))

type echoActor struct{}

// Receive answers.
func (echoActor) Receive(_ *actors.Context[question], q question) { q.Send(q.Text) }

func echoSpec(number int) actors.Spec[question] {
	return actors.Spec[question]{Name: ask.Name(number), New: func() actors.Actor[question] { return echoActor{} }}
}

// manyActors is the fan-out.
const manyActors = 1000

// manyAtOnce makes room for a question to each actor at the same time, and lets
// one peer ask as fast as it can.
var manyAtOnce = pando.WithLimits(pando.Limits{QueuedMessages: 4 * manyActors, Pending: 4 * manyActors, MessagesPerSecond: 1 << 30})

// exposeActors makes an agent one whose actors others can ask.
func exposeActors(a *pando.Agent) error {
	for i := range manyActors {
		ref, err := pando.Spawn(context.Background(), a, echoSpec(i))
		if err == nil {
			err = pando.Expose(a, ask.Name(i), ref, questions)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// asking asks by Ask, which is the same for actors near and far.
func asking(refs []actors.Ref[question]) ask.Call {
	return func(ctx context.Context, number int, text string) (string, error) {
		got, err := actors.Ask(ctx, refs[number], func(r actors.Reply[ask.Text]) question {
			return question{r, ask.Text{Text: text}}
		})
		return got.Text, err
	}
}

// callRemote asks the actors of an agent in another process.
func callRemote(ctx context.Context, o ask.Options, stdout io.Writer) error {
	self, err := identity.FromFile(o.Credentials)
	if err != nil {
		return err
	}
	agent, err := pando.New(self, pando.WithLogger(quiet()), manyAtOnce,
		pando.WithEndpoints(map[string]string{o.Target: o.URL}))
	if err != nil {
		return err
	}
	return beside(ctx, agent, func(ctx context.Context) error {
		refs := make([]actors.Ref[question], o.Actors)
		for i := range refs {
			if refs[i], err = pando.RefTo(agent, o.Target+"/"+ask.Name(i), questions); err != nil {
				return err
			}
		}
		return ask.Run(ctx, o, stdout, asking(refs))
	})
}

// callLocal asks actors in this process.
func callLocal(ctx context.Context, o ask.Options, stdout io.Writer) error {
	system := actors.NewSystem(actors.SystemOptions{Logger: quiet()})
	root := supervisor.Options{Name: "bench", Logger: quiet()}
	refs := make([]actors.Ref[question], o.Actors)
	for i := range refs {
		process := actors.New(system, echoSpec(i))
		refs[i] = process.Ref()
		root.Children = append(root.Children, supervisor.Spec{ID: strconv.Itoa(i), Process: process})
	}
	return beside(ctx, readyService{supervisor.New(root)}, func(ctx context.Context) error {
		return ask.Run(ctx, o, stdout, asking(refs))
	})
}

// readyService is a supervisor that is run like an agent.
type readyService struct{ *supervisor.Supervisor }

// Run is Serve.
func (s readyService) Run(ctx context.Context) error { return s.Serve(ctx) }

// beside runs f while a service runs.
func beside(ctx context.Context, s interface {
	Run(context.Context) error
	Ready() <-chan struct{}
}, f func(context.Context) error) error {
	running, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- s.Run(running) }()
	select {
	case <-s.Ready():
	case err := <-ended:
		return errors.Join(errors.New("the service has ended"), err)
	}
	err := f(ctx)
	stop()
	return errors.Join(err, <-ended)
}

// serveNothing is the server of those who need none.
func serveNothing(ctx context.Context, _ string, ready func(readiness) error) error {
	if err := ready(readiness{URL: "none"}); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

func serveRPC(ctx context.Context, addr string, ready func(readiness) error) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	if err := ready(readiness{URL: "ws://" + ln.Addr().String() + "/ws"}); err != nil {
		return err
	}
	methods := make(map[string]rpc.Method, manyActors)
	for i := range manyActors {
		methods[ask.Name(i)] = func(t ask.Text) (ask.Text, error) { return t, nil }
	}
	return rpc.Serve(ctx, ln, methods)
}

func callRPC(ctx context.Context, o ask.Options, stdout io.Writer) error {
	client, err := rpc.Dial(o.URL)
	if err != nil {
		return err
	}
	defer client.Close()
	return ask.Run(ctx, o, stdout, func(ctx context.Context, number int, text string) (string, error) {
		got, err := client.Call(ctx, ask.Name(number), ask.Text{Text: text})
		return got.Text, err
	})
}

// callPython asks an agent that knows no actors over one channel, as the load of
// the other comparison does: the SDK itself does not match answers to requests.
func callPython(ctx context.Context, o ask.Options, stdout io.Writer) error {
	report, err := load.Steady(ctx, load.Target{URL: o.URL, PID: o.PIDs[0]}, load.SteadyOptions{
		Channels: 1, InFlight: o.InFlight, Payload: o.Payload, Warmup: o.Warmup, Window: o.Window, WriteEach: true,
	})
	return finish(stdout, &report, err)
}
