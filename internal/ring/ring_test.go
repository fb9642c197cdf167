package ring

import "testing"

func TestRingKeepsOrderWhileItGrowsAndShrinks(t *testing.T) {
	t.Parallel()
	var r Ring[int]
	in, out := 0, 0
	for round := range 50 {
		for range round {
			r.Push(in)
			in++
		}
		for range round / 2 {
			v, ok := r.Pop()
			if !ok || v != out {
				t.Fatalf("pop = %d, %v; want %d", v, ok, out)
			}
			out++
		}
	}
	for r.Len() > 0 {
		v, _ := r.Pop()
		if v != out {
			t.Fatalf("pop = %d; want %d", v, out)
		}
		out++
	}
	if out != in {
		t.Fatalf("%d came out, %d went in", out, in)
	}
	if _, ok := r.Pop(); ok {
		t.Fatal("an empty ring gave an element")
	}
	if len(r.buf) > keep {
		t.Fatalf("an empty ring keeps %d places", len(r.buf))
	}
}
