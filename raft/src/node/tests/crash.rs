//! A node whose power is cut at every operation of its disk, while several clients write.

use storage::simulated::Crash;

use super::*;

/// What the clients know when the power goes.
#[derive(Default)]
struct Known {
    submitted: Vec<TransactionId>,
    receipts: Vec<Receipt>,
    refused: usize,
}

/// Founds a chain and writes, eight clients at a time; ends early when the power goes.
async fn workload(disk: &SimulatedDisk) -> Known {
    let mut known = Known::default();
    let Ok(node) = open(&(Arc::new(disk.clone()) as Arc<dyn Disk>)).await else { return known };
    for round in 0..6_u32 {
        let transactions: Vec<Transaction> =
            (0..8).map(|client| schema(&node, round * 8 + client, None)).collect();
        known.submitted.extend(transactions.iter().map(|transaction| transaction.id));
        let waiting: Vec<_> = transactions.into_iter().map(|it| node.submit(it)).collect();
        for outcome in futures::future::join_all(waiting).await {
            match outcome {
                Ok(receipt) => known.receipts.push(receipt),
                Err(_) => known.refused += 1,
            }
        }
    }
    node.shutdown().await;
    known
}

async fn check(disk: SimulatedDisk, known: &Known, what: &str) {
    let node = match open(&(Arc::new(disk.clone()) as Arc<dyn Disk>)).await {
        Ok(node) => node,
        Err(fault) => panic!("{what}: {fault}"),
    };
    assert!(node.status().read_only.is_none(), "{what}: {:?}", node.status());
    for receipt in &known.receipts {
        let found = node.state().find_transaction(receipt.id).unwrap();
        assert_eq!(found, Some((receipt.height, receipt.transaction)), "{what}");
        let block = node.blocks().read(receipt.height).unwrap().unwrap();
        assert_eq!(block.header.hash(), receipt.block, "{what}");
    }
    for (height, block) in (0..=node.state().head().height.0)
        .map(|height| (height, node.blocks().read(Height(height)).unwrap().unwrap()))
        .skip(1)
    {
        for transaction in &block.transactions {
            assert!(known.submitted.contains(&transaction.id), "{what}: block {height}");
        }
    }
    // It goes on, and all of it verifies.
    node.submit(schema(&node, 1000, None)).await.unwrap();
    let report = node.state().verify(true, &mut |_| ()).unwrap();
    assert!(report.is_sound(), "{what}: {report:?}");
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_loses_no_receipt() {
    let disk = SimulatedDisk::new();
    let known = workload(&disk).await;
    assert_eq!(known.receipts.len(), 48);
    let operations = disk.operations();
    let mut states = 0;
    let mut cut_short = 0;
    for at in 0..operations {
        let disk = SimulatedDisk::new();
        disk.cut_power_after(at);
        let known = workload(&disk).await;
        cut_short += usize::from(known.refused > 0);
        let torn = (0..3).map(|seed| Crash::Torn { seed: at * 10 + seed });
        for crash in [Crash::LoseAll, Crash::KeepAll].into_iter().chain(torn) {
            let what = format!("power cut after {at}, {crash:?}");
            check(disk.after_crash(crash), &known, &what).await;
            states += 1;
        }
    }
    assert!(cut_short > 0);
    println!("{operations} operations, {states} crash states, {cut_short} with refusals");
}
