package patterns_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pando-agents/pando"
	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/actors/patterns"
	"github.com/pando-agents/pando/actors/remote"
	"github.com/pando-agents/pando/pandotest"
)

// asked is the question as it goes from agent to agent.
type asked struct {
	actors.Reply[int]
	N int `json:"n"`
}

var (
	questions = remote.NewProtocol[asked](remote.Message[asked]("test.question"), remote.Error("odd", errOdd))
	newsWire  = remote.NewProtocol[news](remote.Message[news]("test.news"))
	topicWire = patterns.TopicProtocol[int]("test.topic")
	talkWire  = patterns.ConversationProtocol[string]("test.talk", remote.Error("broke", errBroke))
	taskWire  = patterns.TaskProtocol[int, int, int]("test.task", remote.Error("odd", errOdd))
)

// amongAgents runs f in virtual time, with agents on a network in memory.
func amongAgents(t *testing.T, f func(t *testing.T, w *pandotest.World)) {
	t.Helper()
	bubble(t, func(t *testing.T) { f(t, pandotest.New(t)) })
}

// work is an actor of another agent.
type work func(q asked)

func (w work) Receive(_ *actors.Context[asked], q asked) { w(q) }

// farWorker runs a worker at an agent and returns the way to it.
func farWorker(from, at *pandotest.Agent, w work) patterns.Target[int, int] {
	pandotest.Spawn(at, actors.Spec[asked]{Name: "worker", New: func() actors.Actor[asked] { return w }}, questions)
	return patterns.To(at.Name, pandotest.RefTo(from, at, "worker", questions), func(n int, r actors.Reply[int]) asked {
		return asked{r, n}
	})
}

// slowly answers later.
func slowly(d time.Duration) work {
	return func(q asked) { time.AfterFunc(d, func() { q.Send(2 * q.N) }) }
}

func TestQuorumOfAgentsAnswersWhileOneIsKilledAndOneIsFrozen(t *testing.T) {
	amongAgents(t, func(t *testing.T, w *pandotest.World) {
		boss, a, b, c := w.Agent("boss"), w.Agent("a"), w.Agent("b"), w.Agent("c")
		w.Allow(boss, a, b, c)
		var targets []patterns.Target[int, int]
		for _, at := range []*pandotest.Agent{a, b, c} {
			targets = append(targets, farWorker(boss, at, slowly(time.Second)))
		}
		if results, err := patterns.Gather(within(t, time.Minute), 0, 4, targets...); err != nil || results[2].Value != 8 {
			t.Fatalf("%v, %v", results, err)
		}
		time.AfterFunc(time.Second/2, func() {
			w.Freeze(b)
			go w.Kill(a)
		})
		results, err := patterns.Gather(within(t, time.Minute), 1, 4, targets...)
		if err != nil || results[2].Value != 8 || !errors.Is(results[1].Err, patterns.ErrNotAwaited) || !errors.Is(results[0].Err, actors.ErrLost) {
			t.Errorf("%+v, %v", results, err)
		}
		results, err = patterns.Gather(within(t, time.Minute), 2, 4, targets...)
		if !errors.Is(err, patterns.ErrNoQuorum) || results[2].Value != 8 {
			t.Errorf("a quorum of one: %+v, %v", results, err)
		}
		w.Heal(b)
		time.Sleep(time.Minute)
	})
}

func TestJobsOfAnAgentThatIsKilledAreDoneByTheOthersAndItGetsWorkWhenItIsBack(t *testing.T) {
	amongAgents(t, func(t *testing.T, w *pandotest.World) {
		boss, a, b := w.Agent("boss"), w.Agent("a"), w.Agent("b")
		w.Allow(boss, a, b)
		workers := []patterns.Target[int, int]{farWorker(boss, a, slowly(time.Second)), farWorker(boss, b, slowly(time.Second))}
		pool, err := pando.Spawn(t.Context(), boss.Agent, patterns.Pool[int, int]{Workers: workers, PerWorker: 2}.Spec())
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(1500*time.Millisecond, func() { w.Kill(a) })
		answers, errs := submitAll(within(t, time.Hour), t, pool, 20)
		if len(answers) != 20 || len(errs) != 0 {
			t.Fatalf("%v, %v", answers, errs)
		}
		s := status(t, pool)
		if s.Done != 20 || s.Repeated < 2 || s.Workers[0].Failed < 2 || s.Workers[1].Failed != 0 {
			t.Errorf("while it is away: %+v", s)
		}
		before := s.Workers[0].Done
		farWorker(boss, w.Restart(a), slowly(time.Second))
		time.Sleep(time.Minute)
		if _, errs := submitAll(within(t, time.Hour), t, pool, 20); len(errs) != 0 {
			t.Error(errs)
		}
		if s := status(t, pool); s.Workers[0].Done == before {
			t.Errorf("when it is back: %+v", s)
		}
	})
}

func TestPoolIsUsedByOtherAgentsAndTellsThemNamedErrors(t *testing.T) {
	amongAgents(t, func(t *testing.T, w *pandotest.World) {
		alice, bob := w.Pair()
		wire := patterns.PoolProtocol[int, int]("test.pool", remote.Error("odd", errOdd))
		pandotest.Spawn(bob, patterns.Pool[int, int]{Workers: []patterns.Target[int, int]{farWorker(bob, bob, func(q asked) {
			switch {
			case q.N == 13:
				panic("unlucky")
			case q.N%2 != 0:
				q.Fail(errOdd)
			default:
				q.Send(2 * q.N)
			}
		})}}.Spec(), wire)
		pool := pandotest.RefTo(alice, bob, "pool", wire)
		if v, err := patterns.Submit(within(t, time.Minute), pool, 4); v != 8 || err != nil {
			t.Error(v, err)
		}
		if _, err := patterns.Submit(within(t, time.Minute), pool, 3); !errors.Is(err, errOdd) {
			t.Error(err)
		}
		if _, err := patterns.Submit(within(t, time.Minute), pool, 13); !errors.Is(err, patterns.ErrGaveUp) {
			t.Error(err)
		}
	})
}

func TestAgentsSubscribeByTheirAddressIfTheyMayAndLeaveWhenTheyAreKilled(t *testing.T) {
	amongAgents(t, func(t *testing.T, w *pandotest.World) {
		paper, reads, stranger := w.Agent("paper"), w.Agent("reads"), w.Agent("stranger")
		w.Allow(paper, reads, stranger)
		pandotest.Spawn(paper, patterns.Topic[int]{Resolve: func(address string) (newsTarget, error) {
			ref, err := pando.RefTo(paper.Agent, address, newsWire)
			return newsTo(address, ref), err
		}}.Spec(), topicWire, pando.ToPeers(reads.ID()))
		local := pandotest.RefTo(paper, paper, "topic", topicWire)

		r := &reader{}
		pandotest.Spawn(reads, actors.Spec[news]{Name: "reader", New: func() actors.Actor[news] { return r }}, newsWire)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go func() {
			_ = patterns.Subscription[int]{Topic: pandotest.RefTo(reads, paper, "topic", topicWire), Address: reads.Address("reader")}.Serve(ctx)
		}()
		if err := subscribe(t, pandotest.RefTo(stranger, paper, "topic", topicWire), patterns.Subscribe[int]{Address: "x/y"}); !errors.Is(err, actors.ErrNoActor) {
			t.Errorf("a stranger: %v", err)
		}
		time.Sleep(time.Second)
		publish(t, local, 1, 100)
		time.Sleep(time.Second)
		w.Cut(reads)
		publish(t, local, 101, 200)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := len(r.got) + int(r.missed); got != 200 || !slices.IsSorted(r.got) {
			t.Errorf("%d events and %d missed", len(r.got), r.missed)
		}
		stop()
		w.Kill(reads)
		time.Sleep(time.Minute)
		if s := topicStatus(t, local); len(s.Subscribers) != 0 {
			t.Errorf("after the end: %+v", s)
		}
	})
}

// talkTo sets up a conversation of bob's for alice.
func talkTo(alice, bob *pandotest.Agent, o patterns.Conversations[string]) talkRef {
	pandotest.Spawn(bob, o.Spec(), talkWire)
	return pandotest.RefTo(alice, bob, "conversations", talkWire)
}

func TestConversationSurvivesLostConnectionsAndEachTurnIsHeardOnce(t *testing.T) {
	amongAgents(t, func(t *testing.T, w *pandotest.World) {
		alice, bob := w.Pair()
		const turns = 60
		var heard []string
		with := talkTo(alice, bob, patterns.Conversations[string]{Converse: func(ctx context.Context, c *patterns.Conversation[string]) error {
			for {
				turn, err := c.Hear(ctx)
				if err != nil {
					return err
				}
				heard = append(heard, turn)
				if len(heard) == turns {
					return errBroke
				}
				if err := c.Say(ctx, "yes "+turn); err != nil {
					return err
				}
			}
		}})
		c := begin(t, t.Context(), with)
		var said, answers []string
		for i := range turns {
			turn := string(rune('a'+i%26)) + string(rune('a'+i/26))
			said = append(said, turn)
			if i%7 == 3 {
				time.AfterFunc(time.Millisecond, func() { w.Cut(bob) })
			}
			if err := c.Say(within(t, time.Minute), turn); err != nil {
				t.Fatalf("turn %d: %v", i, err)
			}
			time.Sleep(time.Millisecond)
		}
		var err error
		for err == nil {
			var turn string
			if turn, err = c.Hear(within(t, time.Minute)); err == nil {
				answers = append(answers, turn[4:])
			}
		}
		if !errors.Is(err, errBroke) || !errors.Is(err, patterns.ErrFailed) {
			t.Error(err)
		}
		if !slices.Equal(heard, said) || !slices.Equal(answers, said[:turns-1]) {
			t.Errorf("said %v\nheard %v\nanswers %v", said, heard, answers)
		}
	})
}

func TestConversationWithAnAgentThatIsKilledOrFrozenEndsAtBothSides(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(w *pandotest.World, alice, bob *pandotest.Agent){
		"bob is killed":   func(w *pandotest.World, _, bob *pandotest.Agent) { w.Kill(bob) },
		"alice is killed": func(w *pandotest.World, alice, _ *pandotest.Agent) { w.Kill(alice) },
		"bob is frozen":   func(w *pandotest.World, _, bob *pandotest.Agent) { w.Freeze(bob) },
	} {
		t.Run(name, func(t *testing.T) {
			amongAgents(t, func(t *testing.T, w *pandotest.World) {
				alice, bob := w.Pair()
				why := make(chan error, 1)
				with := talkTo(alice, bob, patterns.Conversations[string]{Converse: ending(why)})
				c := begin(t, t.Context(), with)
				if err := c.Say(t.Context(), "hello"); err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				go fault(w, alice, bob)
				_, here := c.Hear(t.Context())
				there := <-why
				for side, err := range map[string]error{"here": here, "there": there} {
					killed := side == "here" && name == "alice is killed" || side == "there" && name == "bob is killed"
					if !killed && !errors.Is(err, patterns.ErrPartnerLost) {
						t.Errorf("%s: %v", side, err)
					}
				}
				if d := time.Since(began); d > 30*time.Second {
					t.Errorf("after %v", d)
				}
				w.Heal(bob)
				time.Sleep(time.Minute)
			})
		})
	}
}

func TestReasonsAndRefusalsAreReadAtTheOtherAgent(t *testing.T) {
	amongAgents(t, func(t *testing.T, w *pandotest.World) {
		alice, bob := w.Pair()
		why := make(chan error, 1)
		with := talkTo(alice, bob, patterns.Conversations[string]{Most: 1, Converse: func(ctx context.Context, c *patterns.Conversation[string]) error {
			turn, err := c.Hear(ctx)
			if err != nil {
				why <- err
				return err
			}
			c.End("enough of " + turn)
			return nil
		}})
		c := begin(t, t.Context(), with)
		if _, err := patterns.Begin(t.Context(), with); !errors.Is(err, patterns.ErrRefused) || err.Error() != "refused: too many at once" {
			t.Errorf("one too many: %v", err)
		}
		_ = c.Say(t.Context(), "this")
		var read *patterns.Error
		if _, err := c.Hear(t.Context()); !errors.Is(err, patterns.ErrEnded) || !errors.As(err, &read) || read.Reason != "enough of this" {
			t.Errorf("bob's reason: %v", err)
		}
		time.Sleep(time.Second)
		begin(t, t.Context(), with).End("enough of that")
		if err := <-why; !errors.Is(err, patterns.ErrEnded) || !errors.As(err, &read) || read.Reason != "enough of that" {
			t.Errorf("alice's reason: %v", err)
		}
	})
}

func TestTaskSurvivesLostConnectionsAndIsBegunOnce(t *testing.T) {
	amongAgents(t, func(t *testing.T, w *pandotest.World) {
		alice, bob := w.Pair()
		var begun atomic.Int32
		pandotest.Spawn(bob, patterns.Tasks[int, int, int]{Do: func(ctx context.Context, n int, progress func(int)) (int, error) {
			begun.Add(1)
			for i := range 10 {
				select {
				case <-time.After(10 * time.Second):
				case <-ctx.Done():
					return 0, context.Cause(ctx)
				}
				progress(i)
			}
			if n == 0 {
				return 0, errOdd
			}
			return 2 * n, nil
		}}.Spec(), taskWire)
		tasks := pandotest.RefTo(alice, bob, "tasks", taskWire)
		for n := range 2 {
			stop := make(chan struct{})
			go func() {
				for {
					select {
					case <-stop:
						return
					case <-time.After(13 * time.Second):
						w.Cut(bob)
					}
				}
			}()
			var got []int
			v, err := patterns.Give(t.Context(), tasks, n, func(p int) { got = append(got, p) })
			close(stop)
			if v != 2*n || n == 1 && err != nil || n == 0 && !errors.Is(err, errOdd) || !slices.Equal(got, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}) {
				t.Errorf("%d, %v, %v", v, err, got)
			}
		}
		if begun.Load() != 2 {
			t.Errorf("begun %d times", begun.Load())
		}
	})
}

func TestTaskEndsWhenItsGiverOrItsTakerIsKilled(t *testing.T) {
	amongAgents(t, func(t *testing.T, w *pandotest.World) {
		alice, bob := w.Pair()
		why := make(chan error, 1)
		pandotest.Spawn(bob, patterns.Tasks[int, int, int]{Do: untilCancelled(why)}.Spec(), taskWire)
		tasks := pandotest.RefTo(alice, bob, "tasks", taskWire)
		if _, err := patterns.Give(within(t, time.Minute), tasks, 1, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if err := <-why; !errors.Is(err, patterns.ErrCancelled) {
			t.Errorf("cancelled: %v", err)
		}

		began := time.Now()
		time.AfterFunc(time.Minute, func() { w.Kill(bob) })
		if _, err := patterns.Give(t.Context(), tasks, 1, nil); !errors.Is(err, patterns.ErrPartnerLost) || time.Since(began) > time.Minute+30*time.Second {
			t.Errorf("the taker is killed: %v after %v", err, time.Since(began))
		}
		<-why
		bob = w.Restart(bob)
		pandotest.Spawn(bob, patterns.Tasks[int, int, int]{Do: untilCancelled(why)}.Spec(), taskWire)

		time.Sleep(time.Minute)
		began = time.Now()
		time.AfterFunc(time.Minute, func() { w.Kill(alice) })
		given := make(chan error, 1)
		go func() {
			_, err := patterns.Give(t.Context(), pandotest.RefTo(alice, bob, "tasks", taskWire), 1, nil)
			given <- err
		}()
		if err := <-why; !errors.Is(err, patterns.ErrPartnerLost) || !errors.Is(err, actors.ErrLost) || time.Since(began) > time.Minute+30*time.Second {
			t.Errorf("the giver is killed: %v after %v", err, time.Since(began))
		}
		<-given
	})
}

func TestStagesOfAPipelineAreOtherAgents(t *testing.T) {
	amongAgents(t, func(t *testing.T, w *pandotest.World) {
		boss, a, b := w.Agent("boss"), w.Agent("a"), w.Agent("b")
		w.Allow(boss, a, b)
		p := patterns.Then(
			patterns.Through(patterns.Stage{Name: "a", Concurrency: 4}, farWorker(boss, a, slowly(time.Second)).Ask),
			patterns.Through(patterns.Stage{Name: "b", Concurrency: 4, Unordered: true}, farWorker(boss, b, slowly(2*time.Second)).Ask))
		sum, lost := 0, 0
		for _, err := range p.Run(within(t, time.Hour), numbers(40)) {
			if err != nil {
				if lost++; !errors.Is(err, actors.ErrLost) && !errors.Is(err, actors.ErrUnreachable) {
					t.Error(err)
				}
				continue
			}
			if sum++; sum == 12 {
				go w.Kill(b)
			}
		}
		if sum < 12 || sum+lost != 40 || lost == 0 {
			t.Errorf("%d came out, %d were lost", sum, lost)
		}
	})
}
