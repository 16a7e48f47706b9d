import java.sql.SQLException;
import org.apache.hadoop.hive.conf.HiveConf;
import org.apache.hadoop.hive.metastore.HiveMetaStore;
import org.apache.hadoop.hive.metastore.txn.TxnDbUtil;

/** Runs a Hive metastore. Its own creation of the schema leaves out the tables that locks need. */
public final class Metastore {
  private static final String TABLE_EXISTS = "X0Y32";

  public static void main(String[] arguments) throws Throwable {
    try {
      TxnDbUtil.prepDb(new HiveConf());
    } catch (SQLException error) {
      // All of them are made in one transaction, so the first start made all or none.
      if (!TABLE_EXISTS.equals(error.getSQLState())) {
        throw error;
      }
    }
    HiveMetaStore.main(arguments);
  }
}
