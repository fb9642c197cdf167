package supervisor_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/pando-agents/pando/supervisor"
)

// life makes a service that says when it starts and stops, and fails whenever it is told to.
func life(name string, fail <-chan error) func() supervisor.Service {
	return func() supervisor.Service { return &living{name: name, fail: fail, ready: make(chan struct{})} }
}

type living struct {
	name  string
	fail  <-chan error
	ready chan struct{}
}

func (l *living) Ready() <-chan struct{} { return l.ready }

func (l *living) Serve(ctx context.Context) error {
	fmt.Println("start", l.name)
	close(l.ready)
	select {
	case err := <-l.fail:
		fmt.Println("fail", l.name)
		return err
	case <-ctx.Done():
		fmt.Println("stop", l.name)
		return ctx.Err()
	}
}

// serve runs a supervisor of a, b and c, lets b fail once, and stops it when all are up again.
func serve(strategy supervisor.Strategy) {
	fail := make(chan error)
	sup := supervisor.New(supervisor.Options{
		Strategy: strategy,
		Logger:   quiet(),
		Children: []supervisor.Spec{
			{ID: "a", New: life("a", nil)},
			{ID: "b", New: life("b", fail)},
			{ID: "c", New: life("c", nil)},
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- sup.Serve(ctx) }()
	<-sup.Ready()
	events, unsubscribe := sup.Subscribe(16)
	defer unsubscribe()
	last := "b"
	if strategy != supervisor.OneForOne {
		last = "c"
	}
	fail <- errors.New("no disk")
	for e := range events {
		if e.Kind == supervisor.Started && e.Child == last {
			break
		}
	}
	cancel()
	<-ended
}

// With OneForOne a child that fails is restarted alone.
func ExampleStrategy_oneForOne() {
	serve(supervisor.OneForOne)
	// Output:
	// start a
	// start b
	// start c
	// fail b
	// start b
	// stop c
	// stop b
	// stop a
}

// With OneForAll all are stopped, the last first, and started again.
func ExampleStrategy_oneForAll() {
	serve(supervisor.OneForAll)
	// Output:
	// start a
	// start b
	// start c
	// fail b
	// stop c
	// stop a
	// start a
	// start b
	// start c
	// stop c
	// stop b
	// stop a
}

// With RestForOne those after the one that fails are restarted with it.
func ExampleStrategy_restForOne() {
	serve(supervisor.RestForOne)
	// Output:
	// start a
	// start b
	// start c
	// fail b
	// stop c
	// start b
	// start c
	// stop c
	// stop b
	// stop a
}

// Children of a dynamic supervisor are made from a template.
func ExampleTemplate() {
	sup := supervisor.New(supervisor.Options{Strategy: supervisor.Dynamic, MaxChildren: 2, Logger: quiet()})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- sup.Serve(ctx) }()
	<-sup.Ready()

	session := supervisor.Template[string](func(user string) supervisor.Spec {
		return supervisor.Spec{
			ID:      "session-" + user,
			Restart: supervisor.Transient,
			Service: supervisor.ServiceFunc(func(ctx context.Context) error { <-ctx.Done(); return nil }),
		}
	})
	for _, user := range []string{"ann", "bob", "eve"} {
		fmt.Println(session.Start(ctx, sup, user))
	}
	fmt.Println(sup.Children())
	cancel()
	<-ended
	// Output:
	// <nil>
	// <nil>
	// child "session-eve": too many children
	// [session-ann session-bob]
}

// Work is divided by key among four supervisors.
func ExamplePartitioned() {
	shards := supervisor.NewPartitioned(supervisor.Options{Name: "shards", Logger: quiet()}, 4,
		func(i int) (*supervisor.Supervisor, supervisor.Spec) {
			shard := supervisor.New(supervisor.Options{Strategy: supervisor.Dynamic, Logger: quiet()})
			return shard, supervisor.Spec{ID: fmt.Sprint(i), Service: shard}
		})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- shards.Serve(ctx) }()
	<-shards.Ready()

	job := supervisor.ServiceFunc(func(ctx context.Context) error { <-ctx.Done(); return nil })
	for _, user := range []string{"ann", "bob", "ann"} {
		fmt.Println(shards.For(user).StartChild(ctx, supervisor.Spec{ID: user, Service: job}))
	}
	cancel()
	<-ended
	// Output:
	// <nil>
	// <nil>
	// child "ann": id already in use
}

// A supervisor ends with its significant child, whose helpers are of no use without it.
func ExampleAutoShutdown() {
	sup := supervisor.New(supervisor.Options{
		AutoShutdown: supervisor.AnySignificant,
		Logger:       quiet(),
		Children: []supervisor.Spec{
			{ID: "helper", New: life("helper", nil)},
			{
				ID: "job", Restart: supervisor.Transient, Significant: true,
				Service: supervisor.ServiceFunc(func(context.Context) error { fmt.Println("job done"); return nil }),
			},
		},
	})
	fmt.Println(sup.Serve(context.Background()))
	// Output:
	// start helper
	// job done
	// stop helper
	// <nil>
}

// A child that was terminated keeps its spec, and is found by its path.
func ExampleSupervisor_Find() {
	root := supervisor.New(supervisor.Options{Name: "app", Logger: quiet(), Children: []supervisor.Spec{
		{ID: "web", Service: supervisor.New(supervisor.Options{Logger: quiet(), Children: []supervisor.Spec{
			{ID: "api", Service: supervisor.ServiceFunc(func(ctx context.Context) error { <-ctx.Done(); return nil })},
		}})},
	}})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- root.Serve(ctx) }()
	<-root.Ready()

	web, id, err := root.Find("app/web/api")
	fmt.Println(id, err)
	fmt.Println(web.Terminate(ctx, id), web.Snapshot().Children[0].State)
	fmt.Println(web.Restart(ctx, id), web.Snapshot().Children[0].State)
	cancel()
	<-ended
	// Output:
	// api <nil>
	// <nil> down
	// <nil> running
}
