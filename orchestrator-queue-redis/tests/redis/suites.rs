//! The published suites, on every way that Redis is run.

mod single {
    use crate::fixture::Corner;

    mod queue {
        use super::Corner;
        orchestrator_conformance::queue_conformance!(Corner::single());
    }
    mod limiter {
        use super::Corner;
        orchestrator_conformance::limiter_conformance!(Corner::single());
    }
}

mod with_a_password {
    use crate::fixture::Corner;

    mod queue {
        use super::Corner;
        orchestrator_conformance::queue_conformance!(Corner::guarded());
    }
    mod limiter {
        use super::Corner;
        orchestrator_conformance::limiter_conformance!(Corner::guarded());
    }
}

mod over_tls {
    use crate::fixture::Corner;

    mod queue {
        use super::Corner;
        orchestrator_conformance::queue_conformance!(Corner::sealed());
    }
    mod limiter {
        use super::Corner;
        orchestrator_conformance::limiter_conformance!(Corner::sealed());
    }
}

mod in_a_cluster {
    use crate::fixture::Corner;

    mod queue {
        use super::Corner;
        orchestrator_conformance::queue_conformance!(Corner::cluster());
    }
    mod limiter {
        use super::Corner;
        orchestrator_conformance::limiter_conformance!(Corner::cluster());
    }
}
