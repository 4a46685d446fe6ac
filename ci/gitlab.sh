#!/usr/bin/env bash
# What ci/gitlab.yml runs: GitLab's variables in the words of ci/gate.sh. In a merge request the target branch judges; on
# a protected branch or tag the commit itself; anywhere else the default branch.
set -euo pipefail

export FG_REPORTS="${FG_REPORTS:-fidelity-gate-reports}"
export FG_COMMIT="$CI_COMMIT_SHA" FG_REPOSITORY="$CI_PROJECT_PATH" FG_RUN="$CI_PIPELINE_ID"
# A fork's pipeline runs in the fork: its branches are those of whoever is judged, whatever they are called.
if [[ -n "${CI_MERGE_REQUEST_PROJECT_ID:-}" && "$CI_MERGE_REQUEST_PROJECT_ID" != "${CI_PROJECT_ID:-}" ]]; then
  rm -f -- "$FG_REPORTS"/fidelity-gate*
  printf '%s\n' 'fidelity-gate: error: this pipeline runs in a fork, which has not the branch that judges (run it in the parent project)' >&2
  exit 2
fi
if [[ "${FG_POLICY_FROM:-base}" != base ]]; then
  export FG_BASE="$FG_POLICY_FROM"
elif [[ -n "${CI_MERGE_REQUEST_TARGET_BRANCH_NAME:-}" ]]; then
  export FG_BASE="refs/heads/$CI_MERGE_REQUEST_TARGET_BRANCH_NAME"
elif [[ "${CI_COMMIT_REF_PROTECTED:-}" == true ]]; then
  export FG_BASE=commit
else
  export FG_BASE="refs/heads/$CI_DEFAULT_BRANCH"
fi
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/gate.sh"
