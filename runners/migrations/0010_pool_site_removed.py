from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ("runners", "0009_pool_sites"),
    ]

    operations = [
        migrations.RemoveField(model_name="pool", name="site"),
    ]
