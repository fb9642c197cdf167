package research

import (
	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/actors/remote"
	"github.com/pando-agents/pando/system"
)

// Claim is a sentence of a document that is to answer a part of the question.
type Claim struct {
	Part     string `json:"part"`
	Text     string `json:"text"`
	Document string `json:"document"`
}

// Rejection is a claim that the critic does not believe.
type Rejection struct {
	Claim Claim  `json:"claim"`
	Why   string `json:"why"`
}

// PlannerMessage is what planners take.
type PlannerMessage interface{ isPlannerMessage() }

// Question is put from outside.
type Question struct {
	actors.Reply[system.Answer]
	Text string `json:"text"`
}

func (Question) isPlannerMessage() {}

// SearcherMessage is what searchers take.
type SearcherMessage interface{ isSearcherMessage() }

// Search asks what the documents say.
type Search struct {
	actors.Reply[Findings]
	Query string `json:"query"`
}

// Findings answer a Search.
type Findings struct {
	Claims []Claim `json:"claims"`
}

func (Search) isSearcherMessage() {}

// CriticMessage is what critics take.
type CriticMessage interface{ isCriticMessage() }

// Review asks which claims hold.
type Review struct {
	actors.Reply[Verdict]
	Claims []Claim `json:"claims"`
}

// Verdict answers a Review.
type Verdict struct {
	Accepted []Claim     `json:"accepted"`
	Rejected []Rejection `json:"rejected"`
}

func (Review) isCriticMessage() {}

// WriterMessage is what writers take.
type WriterMessage interface{ isWriterMessage() }

// Write asks for the report.
type Write struct {
	actors.Reply[Report]
	Question string      `json:"question"`
	Accepted []Claim     `json:"accepted"`
	Rejected []Rejection `json:"rejected"`
}

// Report answers a Write.
type Report struct {
	Text string `json:"text"`
}

func (Write) isWriterMessage() {}

// The protocols: what the messages are called on the wire, for peers in any
// language.

func plannerProtocol() *remote.Protocol[PlannerMessage] {
	return remote.NewProtocol[PlannerMessage](remote.Message[Question](system.AskType))
}

func searcherProtocol() *remote.Protocol[SearcherMessage] {
	return remote.NewProtocol[SearcherMessage](remote.Message[Search]("research.search"))
}

func criticProtocol() *remote.Protocol[CriticMessage] {
	return remote.NewProtocol[CriticMessage](remote.Message[Review]("research.review"))
}

func writerProtocol() *remote.Protocol[WriterMessage] {
	return remote.NewProtocol[WriterMessage](remote.Message[Write]("research.write"))
}
