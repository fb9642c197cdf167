// Package research is a team of agents that answers questions from a small set of
// documents: a planner that splits a question, searchers that look its parts up, a
// critic that rejects what is not supported, and a writer. Rules stand in for a
// language model; a real one is plugged in by the system file.
//
// Nothing in it knows whether the agents share a process. Whatever is lost when
// one of them is killed is done again: by another searcher, or by the same agent
// once it is back.
package research
