#!/bin/sh
# The work of nats-user for one cluster with the tools that one would reach for:
# nsc makes a user, kubeseal seals its .creds file, ytt renders the SealedSecret.
#
# nsc has the account; SIGNING_KEY is a file with the seed of the account's
# signing key, CERTIFICATE that of the cluster, TEMPLATES those of the Promise.
# Connection types are left out: nsc would have to run a second time for them.
set -eu

user="$NAMESPACE.$NAME.$DESTINATION.g1"

nsc --all-dirs "$NSC_DIR" add user --name "$user" --account "$ACCOUNT" --private-key "$SIGNING_KEY" \
  --allow-pub 'orders.>' --allow-sub 'orders.>,_INBOX.>' --allow-pub-response=1 --response-ttl 5s --expiry 30d \
  --tag "namespace:$NAMESPACE" --tag "name:$NAME" --tag "destination:$DESTINATION" 2>/dev/null

sealed=$(kubeseal --raw --scope strict --cert "$CERTIFICATE" --namespace "$NAMESPACE" --name "$SECRET" \
  --from-file "$NSC_DIR/creds/$OPERATOR/$ACCOUNT/$user.creds")

ytt --file "$TEMPLATES" --data-values-file - >"$OUT" <<EOF
destination: $DESTINATION
secret: {name: $SECRET, namespace: $NAMESPACE, labels: {app.kubernetes.io/managed-by: script}}
encryptedData: {nats.creds: $sealed}
labels: {app.kubernetes.io/managed-by: script}
annotations: {example.com/user: $user}
EOF
