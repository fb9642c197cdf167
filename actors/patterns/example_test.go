package patterns_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/pando-agents/pando"
	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/actors/patterns"
)

// search is what searchers are asked, wherever they are.
type search struct {
	actors.Reply[[]string]
	Words string
}

// Two answers out of three are enough, and three seconds are.
func ExampleGather() {
	ask := func(ctx context.Context, searchers []patterns.Target[string, []string]) {
		results, err := patterns.Gather(ctx, 2, "aspen grove", searchers...)
		if err != nil {
			fmt.Println(err) // too few have answered: 1 of 3: …
		}
		for _, r := range results {
			fmt.Println(r.Target, r.Value, r.Err)
		}
	}
	_ = ask
}

// An actor of any kind, near or far, is a target.
func ExampleTo() {
	var ref actors.Ref[search] // of pando.Spawn or pando.RefTo
	searcher := patterns.To("library", ref, func(words string, r actors.Reply[[]string]) search {
		return search{r, words}
	})
	fmt.Println(searcher.Name())
	// Output: library
}

// Texts are cut into words, which are counted three at a time; one that fails is
// left out.
func ExamplePipeline() {
	cut := patterns.Through(patterns.Stage{Name: "cut"}, func(_ context.Context, text string) ([]string, error) {
		return strings.Fields(text), nil
	})
	count := patterns.Through(patterns.Stage{Name: "count", Concurrency: 3}, func(_ context.Context, words []string) (int, error) {
		if len(words) == 0 {
			return 0, fmt.Errorf("no words")
		}
		return len(words), nil
	})
	texts := func(yield func(string) bool) {
		_ = yield("trunks die") && yield("") && yield("the root grows new ones")
	}
	for n, err := range patterns.Then(cut, count).Run(context.Background(), texts) {
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(n)
	}
	// Output:
	// 2
	// stage count, item 1: no words
	// 5
}

// A pool is an actor of the agent like any other.
func ExamplePool() {
	run := func(ctx context.Context, agent *pando.Agent, near, far patterns.Target[string, []string]) error {
		pool, err := pando.Spawn(ctx, agent, patterns.Pool[string, []string]{
			Workers: []patterns.Target[string, []string]{near, far}, PerWorker: 4,
		}.Spec())
		if err != nil {
			return err
		}
		found, err := patterns.Submit(ctx, pool, "aspen grove")
		fmt.Println(found, err)
		return err
	}
	_ = run
}
