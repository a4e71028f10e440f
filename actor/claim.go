package actor

// Claim is a partition as its new owner takes it: what the partition's record in the bucket says after the claim.
type Claim struct {
	Partition int
	Session   string // of the lease under which it was claimed
	Epoch     uint64 // issued by this claim: higher than any before
	Revision  uint64 // of the partition's record
	// Unclean is set when the owner before may still have appends on their way: it did not release the
	// partition, and its server may have outlived it. Then a run is claimed in its own log before anything else.
	Unclean    bool
	Checkpoint Checkpoint
}

// Checkpoint is what a partition's owner has finished, durable in the partition's record. It only ever lags.
type Checkpoint struct {
	Inbox       uint64         `json:"inbox"`       // every send of the partition at or below it is in the logs
	Incarnation string         `json:"incarnation"` // of the inbox stream that Inbox counts in
	Timers      uint64         `json:"timers"`      // every firing at or below it is applied
	Floor       uint64         `json:"floor"`       // every record at or below it is settled, save the runs below
	Unsettled   []UnsettledRun `json:"unsettled,omitempty"`
	Types       []string       `json:"types,omitempty"` // of which the partition has, or was asked for, objects; in order
}

// UnsettledRun is a run whose record at Seq, below the settled floor, is not settled.
type UnsettledRun struct {
	Run string `json:"run"`
	Seq uint64 `json:"seq"`
}
