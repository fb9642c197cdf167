package supervisor_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/pando-agents/pando/supervisor"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// A service that fails once is started again.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	life := 0
	sup := supervisor.New(supervisor.Options{
		Logger: quiet(),
		Children: []supervisor.Spec{{
			ID: "worker",
			Service: supervisor.ServiceFunc(func(ctx context.Context) error {
				life++
				fmt.Println("life", life)
				if life == 1 {
					panic("bug")
				}
				cancel()
				<-ctx.Done()
				return ctx.Err()
			}),
		}},
	})
	fmt.Println(sup.Serve(ctx))
	// Output:
	// life 1
	// life 2
	// <nil>
}

// A supervisor is a service: trees are made by nesting.
func Example_tree() {
	ctx, cancel := context.WithCancel(context.Background())
	say := func(name string) supervisor.Service {
		return supervisor.ServiceFunc(func(ctx context.Context) error {
			<-ctx.Done()
			fmt.Println(name, "stops:", context.Cause(ctx))
			return nil
		})
	}
	root := supervisor.New(supervisor.Options{
		Name:   "app",
		Logger: quiet(),
		Children: []supervisor.Spec{
			{ID: "store", Service: say("store")},
			{ID: "web", New: func() supervisor.Service {
				return supervisor.New(supervisor.Options{
					Logger:   quiet(),
					Children: []supervisor.Spec{{ID: "api", Service: say("api")}},
				})
			}},
		},
	})
	go func() {
		<-root.Ready()
		fmt.Println(root.Snapshot().Children[1].Supervisor.Path)
		cancel()
	}()
	fmt.Println(root.Serve(ctx))
	// Output:
	// app/web
	// api stops: context canceled
	// store stops: context canceled
	// <nil>
}

// A child that fails too often makes the supervisor fail, with its reason.
func ExampleBudget() {
	sup := supervisor.New(supervisor.Options{
		Logger: quiet(),
		Budget: supervisor.Budget{Failures: 1},
		Children: []supervisor.Spec{{
			ID:      "flaky",
			Service: supervisor.ServiceFunc(func(context.Context) error { return errors.New("no disk") }),
		}},
	})
	err := sup.Serve(context.Background())
	fmt.Println(err)
	fmt.Println(errors.Is(err, supervisor.ErrBudgetExceeded))
	// Output:
	// child "flaky": restart budget exceeded: no disk
	// true
}

// Children can be added and removed while the supervisor runs.
func ExampleSupervisor_StartChild() {
	ctx, cancel := context.WithCancel(context.Background())
	sup := supervisor.New(supervisor.Options{Strategy: supervisor.Dynamic, Logger: quiet()})
	ended := make(chan error)
	go func() { ended <- sup.Serve(ctx) }()
	<-sup.Ready()

	spec := supervisor.Spec{
		ID:      "session-1",
		Restart: supervisor.Transient,
		Service: supervisor.ServiceFunc(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }),
	}
	fmt.Println(sup.StartChild(ctx, spec))
	fmt.Println(sup.StartChild(ctx, spec))
	fmt.Println(sup.Children())
	fmt.Println(sup.Terminate(ctx, "session-1"))
	fmt.Println(sup.Count().Active)
	cancel()
	fmt.Println(<-ended)
	// Output:
	// <nil>
	// child "session-1": id already in use
	// [session-1]
	// <nil>
	// 0
	// <nil>
}

// Events of the whole tree can be watched; a slow watcher loses events and never holds the tree up.
func ExampleSupervisor_Subscribe() {
	sup := supervisor.New(supervisor.Options{
		Logger: quiet(),
		Budget: supervisor.Budget{Failures: 1},
		Children: []supervisor.Spec{{
			ID:      "flaky",
			Service: supervisor.ServiceFunc(func(context.Context) error { return errors.New("no disk") }),
		}},
	})
	events, cancel := sup.Subscribe(16)
	_ = sup.Serve(context.Background())
	cancel()
	for e := range events {
		fmt.Println(e)
	}
	// Output:
	// root/flaky#1 started
	// root/flaky#1 failed: no disk, next start in 0s
	// root/flaky#2 started
	// root/flaky#2 gave up: child "flaky": restart budget exceeded: no disk
}
