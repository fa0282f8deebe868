package reason

// Entry says of a reason whose it is, and whether what is served before is kept or
// withdrawn.
type Entry struct {
	Reason     Reason
	Of, Served string
}

// Refusals are all reasons for a refusal, in the order of the alphabet.
var Refusals = []Entry{
	{AccountInvalid, "NatsUser", "kept"},
	{AccountNotFound, "NatsUser", "kept"},
	{AccountRefuted, "NatsUser", "kept: what is delivered may be all that still works"},
	{AccountUnknown, "NatsAccount", "kept: of its users"},
	{AccountUnverified, "NatsUser", "kept"},
	{AggregatorInvalid, "ApiAggregatorTarget", "kept"},
	{AggregatorNotFound, "ApiAggregatorTarget", "kept"},
	{BodyLimitAboveMaximum, "a path", "kept"},
	{CertificateUnusable, "NatsUser, one cluster", "kept"},
	{ClockOff, "NatsAccount, NatsUser", "kept"},
	{ConfigurationInvalid, "all", "kept"},
	{DestinationNotAllowed, "NatsUser, one cluster", "kept for `destinationGrace`, then withdrawn"},
	{DestinationNotRegistered, "all, one cluster", "kept"},
	{Failed, "all", "kept"},
	{GrantRefused, "NatsUser", "kept"},
	{GrantTooLarge, "NatsUser", "kept"},
	{HostConflict, "ApiAggregator", "kept: of its former host, which nobody else has"},
	{HostNotHeld, "ApiAggregatorTarget", "kept"},
	{HostnameChanged, "ApiAggregator", "kept: of its former host"},
	{InvalidSpec, "all", "kept"},
	{IssueFailed, "NatsUser, one cluster", "kept"},
	{IssuerNotTrusted, "NatsAccount", "kept: of its users"},
	{LedgerDamaged, "NatsAccount, NatsUser", "kept"},
	{LedgerFull, "NatsUser", "kept"},
	{NamespaceNotMapped, "ApiAggregatorTarget, NatsUser", "kept"},
	{NestedInForeignPrefix, "a path", "withdrawn: it lies in what is another's, and was not held"},
	{NoDestination, "all", "kept for `destinationGrace`, then withdrawn"},
	{NotAdmitted, "ApiAggregatorTarget, NatsUser", "kept"},
	{NotDelegated, "a path", "kept, as long as it is held"},
	{NothingRendered, "NatsUser, one cluster", "withdrawn: an overlay of the platform team's says so"},
	{OperatorKeyNotTrusted, "NatsAccount", "kept: of its users; nothing is revoked"},
	{OutputTooLarge, "all", "kept"},
	{OverlayFailed, "all", "kept"},
	{OverrideUnused, "ApiAggregator", "kept"},
	{PathConflict, "a path", "withdrawn: it is another's"},
	{PathsRefused, "ApiAggregatorTarget", "see each path"},
	{PlatformUnavailable, "all", "kept"},
	{ProviderUnreachable, "NatsAccount", "kept: of its users"},
	{RenderFailed, "all", "kept"},
	{RenewalWindowTooShort, "NatsAccount", "kept: of its users"},
	{Reserved, "a path", "withdrawn, for it speaks for others; one that begins with /_ngf is kept but on NGINX Gateway Fabric"},
	{RevocationFailed, "NatsAccount", "kept: of its users; tried again"},
	{RotatesTooOften, "NatsUser, one cluster", "kept"},
	{ScopeMismatch, "NatsAccount", "kept: of its users"},
	{SecretConflict, "NatsUser, one cluster", "withdrawn: the Secret is another's; what this request had under its former name is kept"},
	{SecretInvalid, "NatsAccount", "kept: of its users"},
	{ServersUnreachable, "NatsAccount", "kept: of its users; nothing is revoked"},
	{SigningKeyUnknown, "NatsAccount", "kept: of its users"},
	{SigningKeyUnusable, "NatsAccount", "kept: of its users"},
	{SystemUserRefused, "NatsAccount", "kept: of its users; nothing is revoked"},
	{TokenRefused, "NatsAccount", "kept: of its users; nothing is revoked"},
	{TooManyCredentials, "NatsUser, one cluster", "kept"},
	{UnsupportedByImplementation, "a path", "kept"},
	{UserRefused, "NatsAccount", "kept: of its users"},
	{WrongNamespace, "NatsAccount", "kept: it has none"},
}

// Row is what the document of a kind says of a reason: its meaning, and where a table
// has a third column, that.
type Row struct {
	Reason         Reason
	Meaning, Third string
}

// Table is a table of a document.
type Table struct {
	// File has it, between two marks that name it.
	File, Name string
	Titles     []string
	Rows       []Row
}

// Tables are those that documents have.
var Tables = []Table{
	{"promises/api-aggregator/README.md", "reasons", []string{"Reason", "Meaning"}, []Row{
		{InvalidSpec, "a field is wrong; the message names it", ""},
		{HostConflict, "another aggregator has the host; the message names it. This one takes over once that one is deleted. Where that one is gone without a word, the message names the ConfigMap that the platform team deletes", ""},
		{HostnameChanged, "the host cannot be changed; make another aggregator, move the targets, delete this one", ""},
		{NoDestination, "no Destination matches `placement`", ""},
		{DestinationNotRegistered, "a Destination matches but has no label `baleen.dev/destination: <its name>`", ""},
		{OverrideUnused, "`perDestination` names a cluster where the aggregator is not", ""},
		{RenderFailed, "what comes of the templates with the platform team's overlays is not valid", ""},
		{OutputTooLarge, "Kratix keeps what a request delivers in one object, which would be too large; make two requests of it, or have the overlays add less", ""},
		{OverlayFailed, "the platform team's overlays do not apply, or their ConfigMap cannot be read", ""},
		{ConfigurationInvalid, "`baleen-config` is wrong; the message names the key", ""},
		{PlatformUnavailable, "the API server could not be reached in time", ""},
		{Failed, "anything else; the message says what", ""},
	}},
	{"promises/api-aggregator-target/README.md", "reasons", []string{"Reason", "Meaning"}, []Row{
		{InvalidSpec, "a field is wrong; the message names it", ""},
		{PathsRefused, "at least one path is refused; the message names the first, `status.paths` all", ""},
		{AggregatorNotFound, "there is no such aggregator, or it is being deleted", ""},
		{AggregatorInvalid, "the aggregator's own spec is wrong", ""},
		{HostNotHeld, "the aggregator does not hold its host, or has not run yet", ""},
		{NotAdmitted, "the aggregator does not admit targets of your namespace", ""},
		{NamespaceNotMapped, "the workload namespace is not yours", ""},
		{NoDestination, "no cluster is served, because no Destination matches", ""},
		{DestinationNotRegistered, "a cluster that matches gets nothing new, because it is not registered", ""},
		{RenderFailed, "what comes of the templates with the platform team's overlays is not valid", ""},
		{OutputTooLarge, "Kratix keeps what a request delivers in one object, which would be too large; make two requests of it, or have the overlays add less", ""},
		{OverlayFailed, "the platform team's overlays do not apply, or their ConfigMap cannot be read", ""},
		{ConfigurationInvalid, "the platform team's `baleen-config` is wrong; the message names the key", ""},
		{PlatformUnavailable, "the API server could not be reached in time", ""},
		{Failed, "anything else; the message says what", ""},
	}},
	{"promises/nats-account/README.md", "reasons", []string{"Reason", "Meaning", "NatsUsers meanwhile"}, []Row{
		{Verified, "all is well, as far as the message says it was verified", "are served"},
		{InvalidSpec, "a field is wrong; the message names it", "`AccountInvalid`"},
		{WrongNamespace, "it is not in `baleen-system`, and counts for nobody", ""},
		{RenewalWindowTooShort, "`minRenewBefore` is not longer than `reconcileInterval`", "`AccountInvalid`"},
		{SecretInvalid, "a Secret or its key is missing, may not be read, or holds something else; the message says what instead", "`AccountInvalid`, if it is the signing key's"},
		{AccountUnknown, "the servers have no such account", "`AccountRefuted`"},
		{SigningKeyUnknown, "the account does not list the signing key", "`AccountRefuted`"},
		{ScopeMismatch, "`scoped` and the account differ, or the scope needs a tag that `requiredTags` does not name", "`AccountRefuted`"},
		{IssuerNotTrusted, "the servers do not trust the key that the account is signed with", "`AccountRefuted`"},
		{OperatorKeyNotTrusted, "not all servers trust the operator's signing key. Nothing was changed: an account signed with it would lock out all its users", "are served; revocations wait"},
		{UserRefused, "the throw-away user was refused: by what the servers have of the account the message says why", "`AccountRefuted`"},
		{SystemUserRefused, "the credentials of the system account are refused", "are served; revocations wait"},
		{ServersUnreachable, "no server answers, or none has a full resolver, or the credentials are not of the system account", "are served; revocations wait"},
		{ClockOff, "the clock of the node and that of the NATS servers, or of the control plane, differ by more than ten minutes; nothing was revoked or taken back", "are served; revocations wait"},
		{RevocationFailed, "the servers do not take or do not show a revocation; the next run tries again", "are served; revocations wait"},
		{LedgerDamaged, "a ConfigMap in `baleen-state` that should be a user's ledger cannot be read; the message names it. Restore it, or delete it: it is made again from what is delivered", "are served, but for the one whose ledger it is (`Failed`)"},
		{ConfigurationInvalid, "`baleen-config` is wrong; the message names the key", "the same"},
		{PlatformUnavailable, "the API server could not be reached in time", "are served"},
		{Failed, "anything else; the message says what", "are served"},
	}},
	{"promises/nats-account/README.md", "reasons of OperatorProtected", []string{"Reason", "Meaning"}, []Row{
		{SecretsToMove, "an operator's Secret is in `baleen-system` and is used from there; the message names the keys and says what to do", ""},
		{CopiesToDelete, "all are in `baleen-operator` and are used from there, and `baleen-system` has copies; the message names them", ""},
		{SecretsMoved, "it was one of these, and no Secret of the operator's is in `baleen-system` any more", ""},
	}},
	{"promises/nats-account/README.md", "reasons of Synadia", []string{"Reason", "Meaning", "NatsUsers meanwhile"}, []Row{
		{TokenRefused, "the token is wrong or expired, or may not do what is needed", "are served; what is to be issued says `IssueFailed`, revocations wait"},
		{ProviderUnreachable, "no answer that can be read within the budget, or a refusal that is not about the token; the message has it", "the same"},
		{AccountUnknown, "there is no such account or the token may not see it, or there are several of the name", "`AccountRefuted`"},
		{SigningKeyUnknown, "the account has no such group, or several; the message names those that there are", "`AccountRefuted`"},
		{SigningKeyUnusable, "the group is disabled, or Synadia does not have its seed", "`AccountRefuted`"},
		{ScopeMismatch, "the scope needs a tag that `synadia.requiredTags` does not name", "`AccountRefuted`"},
	}},
	{"promises/nats-user/README.md", "reasons", []string{"Reason", "Meaning", "Who mends it"}, []Row{
		{Delivered, "a credential as asked was handed to Kratix for every cluster, which writes it to the state store; whether a cluster has applied it, [a status does not know](../../docs/concepts.md#what-a-status-knows)", ""},
		{InvalidSpec, "a field is wrong; the message names it", "you"},
		{NotAdmitted, "the account's policy does not admit your namespace or something you ask for; the message says what it allows", "you, or the platform team"},
		{NamespaceNotMapped, "the workload namespace is not yours", "the platform team"},
		{AccountUnverified, "no run of the account has found it on the servers since it was made, or since its id, its signing key or, with Synadia, what names it (`baseURL`, account, group) was changed. It was asked to run, and then asks this request", "nobody: it is tried again. If the account is not `Verified`, the platform team"},
		{LedgerFull, "the ledger has no room for another generation on so many clusters; make two requests of it, or rotate less often", "you"},
		{RotatesTooOften, "a cluster has 24 credentials that have not expired yet, and gets no other until it is due", "you"},
		{TooManyCredentials, "your namespace has as many former credentials of the account as its policy admits (`maxFormer`): what was rotated, changed or deleted before it expired. Renewals and deletions go on", "you: wait until some have expired, or make `ttl` shorter; or the platform team"},
		{NothingRendered, "an overlay leaves nothing to deliver", "the platform team"},
		{SecretConflict, "another NatsUser has the Secret on a cluster; the message names it. If that releases it, this one takes over", "you"},
		{DestinationNotAllowed, "you select clusters that the account does not allow; the others are served", "you, or the platform team"},
		{NoDestination, "no cluster is served, because no Destination matches", "the platform team"},
		{DestinationNotRegistered, "a cluster that matches gets nothing new, because it is not registered", "the platform team"},
		{CertificateUnusable, "nothing can be sealed for a cluster; the message says why", "the platform team: `baleen clusters trust`"},
		{AccountNotFound, "there is no such account, or it is being deleted", "the platform team"},
		{AccountInvalid, "its spec or its signing key is wrong", "the platform team"},
		{IssueFailed, "the control plane of Synadia cannot be reached, or refuses; the message says what it said. Clusters before that one have what they were issued", "nobody if it was away: it is tried again; else the platform team"},
		{AccountRefuted, "its last run found that what it signs would not connect", "the platform team"},
		{GrantTooLarge, "the JWT would be larger than the account allows: name fewer subjects, or wider ones", "you"},
		{GrantRefused, "NATS would refuse the JWT, or nobody could connect with it; the message says why", "you"},
		{ClockOff, "the clock of the node is more than ten minutes away from the API server's. Nothing is issued", "the platform team"},
		{RenderFailed, "what comes of the templates with the platform team's overlays is not valid, or could not be opened on the cluster", "the platform team"},
		{OutputTooLarge, "Kratix keeps what a request delivers in one object, which would be too large; nothing more is issued for it. Make two requests of it, or have the overlays add less", "you, or the platform team"},
		{OverlayFailed, "the platform team's overlays do not apply, or their ConfigMap cannot be read", "the platform team"},
		{ConfigurationInvalid, "`baleen-config` is wrong; the message names the key", "the platform team"},
		{PlatformUnavailable, "the API server could not be reached in time", "nobody: it is tried again"},
		{Failed, "anything else; the message says what", ""},
	}},
}
